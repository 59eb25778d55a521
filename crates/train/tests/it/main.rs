//! Integration tests, from files to trained models. The tests of Parquet are a separate program (`parquet.rs`), so that
//! only it is built with that feature.

mod adjustment;
mod architectures;
mod calibration;
mod compare;
mod data;
mod fine_tuning;
mod int8;
#[cfg(feature = "onnx")]
mod onnx;
mod precision;
mod ranks;
mod real_data;
mod training;
mod tta;
mod tune;
mod votes;
