//! Intel's Advanced Matrix Extensions, on Linux.
//!
//! The intrinsics are not stable, so the loop over steps is assembly. Tiles 0 to 3 are the sums of a block, 4 and 5 its
//! rows, 6 and 7 its columns. A process asks the system once for the tiles; their configuration belongs to a thread
//! ([`Tiles`]).

use super::block::{BLOCK, PACKED_BYTES, Rows, STEP_BYTES, Step, Steps};
use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Whether the processor has AMX for bf16 and bytes, and the system lets this process use it.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_it() && system_permits_it())
}

fn processor_has_it() -> bool {
    let highest = __cpuid_count(0, 0).eax;
    if highest < 7 || __cpuid_count(1, 0).ecx & 1 << 27 == 0 {
        return false;
    }
    // AMX-BF16, AMX-TILE and AMX-INT8.
    let wanted = 1 << 22 | 1 << 24 | 1 << 25;
    // SAFETY: OSXSAVE is set, so that the instruction exists.
    #[allow(unsafe_code)]
    let enabled = unsafe { xcr0() };
    // The state of the tile configuration and of the tiles.
    __cpuid_count(7, 0).edx & wanted == wanted && enabled >> 17 & 3 == 3
}

/// The register states that the system saves.
///
/// # Safety
/// The processor must have XSAVE, and the system must have enabled it.
#[allow(unsafe_code)]
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: as the caller guarantees.
    unsafe { _xgetbv(0) }
}

/// Asks Linux for the tiles, which belong to the state of a thread only on request (`arch_prctl`,
/// `ARCH_REQ_XCOMP_PERM`). It holds for all threads of the process.
fn system_permits_it() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the system call reads no memory of the process; it overwrites rcx and r11.
    #[allow(unsafe_code)]
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static CONFIGURATION: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = STEP_BYTES as u8;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Configuration(bytes)
};

thread_local! {
    /// Whether this thread has configured tiles.
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// The block of some steps (at least one), by an instruction that adds products of tiles; `line` bytes are between the
/// rows of the sums.
macro_rules! multiply {
    ($instruction:literal, $rows:expr, $stride:expr, $b:expr, $steps:expr, $sums:expr, $line:expr) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "mov {x}, [{step}]",
            "mov {y}, [{step} + 8]",
            "shl {y}, 11",
            "add {y}, {b}",
            "tileloadd tmm6, [{y} + {row}*1]",
            "tileloadd tmm7, [{y} + {row}*1 + 1024]",
            "lea {y}, [{a0} + {x}*4]",
            "tileloadd tmm4, [{y} + {stride}*1]",
            concat!($instruction, " tmm0, tmm4, tmm6"),
            concat!($instruction, " tmm1, tmm4, tmm7"),
            "lea {y}, [{a1} + {x}*4]",
            "tileloadd tmm5, [{y} + {stride}*1]",
            concat!($instruction, " tmm2, tmm5, tmm6"),
            concat!($instruction, " tmm3, tmm5, tmm7"),
            "add {step}, 16",
            "dec {count}",
            "jnz 2b",
            "tilestored [{sums} + {line}*1], tmm0",
            "tilestored [{sums} + {line}*1 + 64], tmm1",
            "mov {x}, {line}",
            "shl {x}, 4",
            "add {sums}, {x}",
            "tilestored [{sums} + {line}*1], tmm2",
            "tilestored [{sums} + {line}*1 + 64], tmm3",
            a0 = in(reg) $rows[0],
            a1 = in(reg) $rows[1],
            stride = in(reg) $stride,
            b = in(reg) $b,
            row = in(reg) STEP_BYTES,
            step = inout(reg) $steps.as_ptr() => _,
            count = inout(reg) $steps.len() => _,
            sums = inout(reg) $sums => _,
            line = in(reg) $line,
            x = out(reg) _,
            y = out(reg) _,
            out("tmm0") _,
            out("tmm1") _,
            out("tmm2") _,
            out("tmm3") _,
            out("tmm4") _,
            out("tmm5") _,
            out("tmm6") _,
            out("tmm7") _,
            options(nostack),
        );
    };
}

/// The configured tiles of this thread, until they are dropped.
pub struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// # Panics
    /// When AMX is not available, or this thread has another value.
    pub fn new() -> Self {
        assert!(is_available(), "this processor or system does not support AMX");
        assert!(!CONFIGURED.replace(true), "the tiles of this thread are in use");
        // SAFETY: AMX is available; the instruction reads the 64 bytes of a valid configuration.
        #[allow(unsafe_code)]
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly));
        }
        Self(PhantomData)
    }

    /// Computes a block of products of bf16; see `bf16::product`.
    ///
    /// # Panics
    /// When an operand is shorter than the steps reach.
    pub fn multiply_bf16(&self, a: Rows<'_>, steps: &Steps, b: &[f32], sums: &mut [f32; BLOCK * BLOCK]) {
        if steps.list().is_empty() {
            return sums.fill(0.0);
        }
        let rows = checked_rows(a, steps, size_of_val(b));
        // SAFETY: the tiles of this thread are configured. A row of a tile is read at `tile + step.a + row · stride` for
        // 16 words, and columns at `step.b · PACKED_BYTES` for as many bytes; both are inside of their slices, as
        // `checked_rows` asserts. The tiles of sums are written by 16 rows of 64 bytes into the 32 × 32 values of `sums`.
        // Steps are two words each, and there is at least one.
        #[allow(unsafe_code)]
        unsafe {
            let (stride, line) = (a.stride * size_of::<u32>(), BLOCK * size_of::<f32>());
            multiply!("tdpbf16ps", rows, stride, b.as_ptr(), steps.list(), sums.as_mut_ptr(), line);
        }
    }

    /// Computes a block of exact products of unsigned bytes with signed bytes, into columns `column` to `column + 32` of
    /// 32 rows of sums.
    ///
    /// # Panics
    /// When an operand is shorter than the steps reach, or a row of sums too short.
    pub fn multiply_bytes<const WIDTH: usize>(
        &self,
        a: Rows<'_>,
        steps: &Steps,
        b: &[f32],
        column: usize,
        sums: &mut [[i32; WIDTH]; BLOCK],
    ) {
        assert!(column + BLOCK <= WIDTH && !steps.list().is_empty());
        let rows = checked_rows(a, steps, size_of_val(b));
        // SAFETY: as in `multiply_bf16`; each of the 32 rows of sums has at least 32 values from `column` on.
        #[allow(unsafe_code)]
        unsafe {
            let (stride, line) = (a.stride * size_of::<u32>(), WIDTH * size_of::<i32>());
            let sums = sums.as_mut_ptr().cast::<i32>().add(column);
            multiply!("tdpbusd", rows, stride, b.as_ptr(), steps.list(), sums, line);
        }
    }
}

/// The first words of both tiles of rows.
///
/// # Panics
/// When the rows, or the `columns` bytes of packed columns, are shorter than the steps reach.
fn checked_rows(a: Rows<'_>, steps: &Steps, columns: usize) -> [*const u32; 2] {
    let furthest = steps.furthest();
    let reach = furthest.a + 15 * a.stride + STEP_BYTES / size_of::<u32>();
    assert!(a.tiles.iter().all(|tile| tile + reach <= a.words.len()), "rows are shorter than the steps reach");
    assert!((furthest.b + 1) * PACKED_BYTES <= columns, "columns are shorter than the steps reach");
    a.tiles.map(|tile| a.words[tile..].as_ptr())
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: AMX is available, since the tiles were configured.
        #[allow(unsafe_code)]
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
        CONFIGURED.set(false);
    }
}

/// The assembly reads the two fields of a step as words.
const _: () = assert!(size_of::<Step>() == 16 && std::mem::offset_of!(Step, b) == 8 && PACKED_BYTES == 1 << 11);
