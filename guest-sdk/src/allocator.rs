//! The component's allocator: small blocks come from lists of free ones, all others from Rust's usual allocator.
//!
//! A decision makes and frees some fifteen small blocks: one for each string and list that passes between host and
//! module, and what the module itself needs. WebAssembly's usual allocator spends a third of a decision on them. Two
//! libraries were tried in its place, talc and rlsf: a decision took as long with them.
#![expect(unsafe_code, reason = "an allocator is handed raw memory, and hands it out")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

/// Blocks are multiples of this, in bytes, and lie at multiples of it.
const STEP: usize = 16;
/// Sizes that have a list of free blocks: up to 512 bytes.
const SIZES: usize = 32;
/// What is taken from the usual allocator at a time, in bytes.
const CHUNK: usize = 16 << 10;

/// The allocator. A block that was freed serves the next one of its size; chunks are never given back, as a
/// component's memory never shrinks anyway.
pub(crate) struct Pools {
    /// The first free block of each size.
    free: [Cell<*mut Free>; SIZES],
    /// What is left of the newest chunk: where it begins, and its bytes.
    rest: Cell<(*mut u8, usize)>,
}

/// What a free block holds.
struct Free {
    next: *mut Free,
}

// SAFETY: a component has one thread; without one, nothing here is shared.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
unsafe impl Sync for Pools {}

impl Pools {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { free: [const { Cell::new(ptr::null_mut()) }; SIZES], rest: Cell::new((ptr::null_mut(), 0)) }
    }

    /// A block of this size from the newest chunk, or from a new one; null where there is no memory.
    #[cold]
    fn carve(&self, size: usize) -> *mut u8 {
        let (mut begin, mut left) = self.rest.get();
        let bytes = (size + 1) * STEP;
        if left < bytes {
            const LAYOUT: Layout = match Layout::from_size_align(CHUNK, STEP) {
                Ok(layout) => layout,
                Err(_) => panic!("the chunk's size is no layout"),
            };
            // SAFETY: the layout isn't empty.
            begin = unsafe { System.alloc(LAYOUT) };
            if begin.is_null() {
                return begin;
            }
            left = CHUNK;
        }
        // SAFETY: the chunk has `left` bytes from `begin` on, and `bytes` is no more.
        self.rest.set((unsafe { begin.add(bytes) }, left - bytes));
        begin
    }
}

/// The place of a layout's list; `None` for those that the usual allocator serves.
#[inline]
fn list(layout: &Layout) -> Option<usize> {
    let size = layout.size().wrapping_sub(1) / STEP;
    (size < SIZES && layout.align() <= STEP).then_some(size)
}

// SAFETY: blocks of a list are `STEP`-aligned parts of chunks that overlap no other, at least as long as every layout
// of that list; one is in its list or handed out, never both. All other layouts are the usual allocator's throughout:
// which of them it is follows from the layout alone, and callers name the same one for a block all its life.
unsafe impl GlobalAlloc for Pools {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = list(&layout) else {
            // SAFETY: passed on as it came.
            return unsafe { System.alloc(layout) };
        };
        let first = self.free[size].get();
        if first.is_null() {
            return self.carve(size);
        }
        // SAFETY: what is in a list is a free block, in which `dealloc` has written its successor.
        self.free[size].set(unsafe { (*first).next });
        first.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(size) = list(&layout) else {
            // SAFETY: passed on as it came.
            return unsafe { System.dealloc(block, layout) };
        };
        let block = block.cast::<Free>();
        // SAFETY: the caller gives the block up; it is aligned, and long enough for a pointer.
        unsafe { block.write(Free { next: self.free[size].get() }) };
        self.free[size].set(block);
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller warrants that the new size is one that a layout of this alignment may have.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (list(&layout), list(&new)) {
            // SAFETY: passed on as it came; the block is the usual allocator's, and stays so.
            (None, None) => unsafe { System.realloc(block, layout, new_size) },
            (of, to) if of == to => block,
            // SAFETY: both blocks are as long as the smaller layout, and no part of each other; the old one is given up.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A block, filled with a byte.
    fn filled(pools: &Pools, layout: Layout, byte: u8) -> *mut u8 {
        // SAFETY: no layout of these tests is empty, and the block is as long as its layout.
        unsafe {
            let block = pools.alloc(layout);
            assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
            block.write_bytes(byte, layout.size());
            block
        }
    }

    /// Frees a block that must still hold the byte, in its first bytes.
    fn check(pools: &Pools, block: *mut u8, layout: Layout, length: usize, byte: u8) {
        // SAFETY: the block is one that `filled` or `realloc` has answered for this layout.
        unsafe {
            assert!(std::slice::from_raw_parts(block, length).iter().all(|found| *found == byte), "{layout:?}");
            pools.dealloc(block, layout);
        }
    }

    #[test]
    fn blocks_never_overlap_and_are_used_again() {
        let pools = Pools::new();
        let layouts: Vec<Layout> = (1..700).flat_map(|size| [1, 8, 16, 64].map(|align| layout(size, align))).collect();
        for _ in 0..3 {
            let byte = |nth: usize| u8::try_from(nth % 251).unwrap();
            let blocks: Vec<_> =
                layouts.iter().enumerate().map(|(nth, layout)| filled(&pools, *layout, byte(nth))).collect();
            for (nth, (block, layout)) in blocks.into_iter().zip(&layouts).enumerate() {
                check(&pools, block, *layout, layout.size(), byte(nth));
            }
        }
        let first = filled(&pools, layout(100, 8), 1);
        check(&pools, first, layout(100, 8), 100, 1);
        assert_eq!(filled(&pools, layout(112, 4), 2), first, "the next block of a size is the last one that was freed");
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_what_it_holds() {
        let pools = Pools::new();
        for (from, to) in [(10, 16), (10, 17), (17, 10), (500, 513), (600, 500), (600, 6000), (6000, 600), (1, 100_000)]
        {
            let block = filled(&pools, layout(from, 8), 7);
            // SAFETY: the block is of that layout, and the new size isn't nothing.
            let moved = unsafe { pools.realloc(block, layout(from, 8), to) };
            check(&pools, moved, layout(to, 8), from.min(to), 7);
        }
    }
}
