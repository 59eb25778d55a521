//! A mutable slice that several tasks write to, each at its own positions.
//!
//! It checks bounds; each caller must ensure that the positions are disjoint.

use std::marker::PhantomData;

/// A mutable slice for tasks that write to disjoint, interleaved positions.
#[derive(Clone, Copy)]
pub struct SharedMut<'a, T = f32> {
    data: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only used through `slice` and `pointer`, whose callers guarantee that no
// two tasks access the same position.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { data: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// Pointer to the `len` values from `start`, for tasks that write to some of them.
    ///
    /// # Panics
    /// When they are outside the slice.
    #[inline(always)]
    pub fn pointer(&self, start: usize, len: usize) -> *mut T {
        assert!(start <= self.len && len <= self.len - start, "the positions of a task are outside the slice");
        self.data.wrapping_add(start)
    }

    /// The `len` values from `start`.
    ///
    /// # Safety
    /// No other task may access these positions while the slice exists.
    ///
    /// # Panics
    /// When they are outside the slice.
    #[allow(unsafe_code)]
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [T] {
        let data = self.pointer(start, len);
        // SAFETY: inside the slice by `pointer`; not accessed by other tasks, as the caller
        // guarantees.
        unsafe { std::slice::from_raw_parts_mut(data, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn tasks_write_interleaved_places() {
        let mut values = vec![0.0; 1000];
        let shared = SharedMut::new(&mut values);
        (0..100usize).into_par_iter().for_each(|task| {
            for row in 0..10 {
                // SAFETY: each task has its own position in every row.
                #[allow(unsafe_code)]
                let place = unsafe { shared.slice(row * 100 + task, 1) };
                place[0] = task as f32;
            }
        });
        assert!(values.iter().enumerate().all(|(i, &v)| v == (i % 100) as f32));
    }

    #[test]
    #[should_panic(expected = "outside the slice")]
    fn positions_outside_panic() {
        let mut values = [0.0; 4];
        // SAFETY: the only user; the call panics before it makes a slice.
        #[allow(unsafe_code)]
        unsafe {
            SharedMut::new(&mut values).slice(3, 2);
        }
    }
}
