//! The module `liar`, told how to misbehave.

use super::guests::wasm;

/// What stands before the way to misbehave, in the component's data.
const MARK: &[u8] = b"the liar's way=";
/// Room for the way, filled up with dots.
const ROOM: usize = 33;

/// The component that misbehaves in this way; `honest` does in none.
pub(crate) fn liar(way: &str) -> Vec<u8> {
    let mut component = wasm("liar");
    let places: Vec<_> = (0..component.len()).filter(|place| component[*place..].starts_with(MARK)).collect();
    let [place] = places[..] else { panic!("the mark is there {} times", places.len()) };
    let begin = place + MARK.len();
    component[begin..begin + ROOM].copy_from_slice(format!("{way:.<ROOM$}").as_bytes());
    component
}
