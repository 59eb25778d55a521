//! The library's tests, from files to trained models. Those of Parquet are a program of their own (`parquet.rs`), which
//! is all that is built for that feature.

mod architectures;
mod compare;
mod data;
#[cfg(feature = "onnx")]
mod onnx;
mod ranks;
mod real_data;
mod training;
