//! Holds what was seen to the log.
