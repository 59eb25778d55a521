//! A warm training step and a warm prediction allocate nothing.

#[path = "it/nets/mod.rs"]
mod nets;

use moue_engine::InferenceNetwork;
use moue_engine::inference::{RangeMethod, ranges};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations while `work` runs.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.load(Ordering::Relaxed);
    work();
    COUNT.load(Ordering::Relaxed) - before
}

/// That `work` allocates nothing from some round on. Each thread has scratch that grows with
/// its first large task, and on a busy machine a thread may get that late.
fn assert_warm(what: &str, mut work: impl FnMut()) {
    assert!((0..50).any(|_| allocations(&mut work) == 0), "{what} allocates in every round");
}

/// Everything runs inside the pool: handing work over to it from outside is the
/// pool's own bookkeeping, and allocates.
#[test]
fn warm_steps_allocate_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let x = nets::images(16, 1);
        let mut training = nets::Training::new(16);
        assert!(allocations(|| training.step(&x)) > 0, "the counter counts");
        assert_warm("training", || (0..5).for_each(|_| training.step(&x)));

        let mut ready = InferenceNetwork::new(&training.network);
        let one = nets::images(1, 2);
        assert_warm("predicting", || {
            ready.run(&x);
            ready.run(&one);
        });

        let batch = |number: usize| (number == 0).then(|| x.clone());
        let ranges = ranges(&training.network, RangeMethod::Percentile(1.0), &batch);
        let mut int8 = InferenceNetwork::with_int8(&training.network, &ranges);
        assert_warm("predicting one image with 8-bit integers", || {
            int8.run(&one);
        });
    });
}
