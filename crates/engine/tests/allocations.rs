//! A warm training step and a warm prediction allocate nothing.

#[path = "it/nets/mod.rs"]
mod nets;

use moue_engine::InferenceNetwork;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts allocations.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls are passed to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: guaranteed by the caller.
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

/// Everything runs inside the pool: transferring work to it from outside allocates.
#[test]
fn warm_steps_allocate_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let x = nets::images(16, 1);
        let mut training = nets::Training::new(16);
        assert!(allocations(|| training.step(&x)) > 0, "the counter works");
        (0..20).for_each(|_| training.step(&x));
        assert_eq!(allocations(|| (0..5).for_each(|_| training.step(&x))), 0, "training");

        let mut ready = InferenceNetwork::new(&training.network);
        let one = nets::images(1, 2);
        for _ in 0..20 {
            ready.run(&x);
            ready.run(&one);
        }
        let predicting = allocations(|| {
            ready.run(&x);
            ready.run(&one);
        });
        assert_eq!(predicting, 0, "predicting");
    });
}
