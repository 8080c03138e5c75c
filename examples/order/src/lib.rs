//! Orders and their shipments, as an Everfold domain module with two aggregate types.
//!
//! Each has streams of its own, and a decision sees one stream. What leads from one to the other is the log: whoever
//! reads that an order is paid sends `Pack` to a shipment.

pub mod order;
pub mod shipment;
pub mod values;

everfold_sdk::export!(order::Order, shipment::Shipment);
