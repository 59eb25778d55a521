//! `moue bench`.

use super::{precision_text, print, print_json};
use crate::args::{BenchArgs, Common, PredictionPrecision};
use crate::error::UsageError;
use crate::output::table::table;
use moue::{Device, Precision};
use moue_train::bench::{self, BenchOptions, LayerCost, Measurement};
use moue_train::config::{Config, PrecisionName};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

/// The results, as `moue bench --json` prints them.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BenchDocument<'a> {
    #[serde(flatten)]
    total: &'a Measurement,
    /// The time of each layer; only with `--layers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a [LayerCost]>,
}

pub fn run(args: &BenchArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let device = Device::open(args.device.choice)?;
    if args.layers && !device.is_cpu() {
        return Err(UsageError("--layers measures layers on the CPU; use --device cpu".into()).into());
    }
    let mut config = Config::open(args.arch.as_deref().unwrap_or("small"))?;
    match args.precision {
        None | Some(PredictionPrecision::Int8) => {}
        Some(PredictionPrecision::F32) => config.train.precision = PrecisionName::F32,
        // A GPU computes in f32 only.
        Some(PredictionPrecision::Auto) if !device.is_cpu() => config.train.precision = PrecisionName::F32,
        Some(PredictionPrecision::Bf16) => config.train.precision = PrecisionName::Bf16,
        Some(PredictionPrecision::Auto) => config.train.precision = PrecisionName::fastest(),
    }
    let int8 = args.precision == Some(PredictionPrecision::Int8);
    let precision = if int8 { Precision::Int8 } else { config.train.precision.into() };
    let options = BenchOptions {
        batch_size: args.batch_size.map_or(config.train.batch_size, usize::from),
        time: Duration::from_secs_f64(args.seconds),
        int8,
        device: device.clone(),
    };
    let report = |what: &str| {
        if !common.quiet {
            eprintln!("measuring: {what}");
        }
    };
    let measured = bench::measure(&config, &options, &mut |what| report(what))?;
    let costs = if args.layers {
        report("each layer");
        bench::layers(&config, &options)?
    } else {
        Vec::new()
    };
    if common.json {
        print_json(&BenchDocument { total: &measured, layers: args.layers.then_some(&costs) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let memory =
        measured.peak_rss_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    print(&format!(
        "{}: {} threads, batch {}, {}, {}\n\ntrain    {:.0} images/s, peak memory {memory}\npredict  {:.0} images/s\n\
         latency  {:.2} ms per image, batch 1\n{}",
        measured.arch,
        measured.threads,
        measured.batch_size,
        measured.isa,
        precision_text(precision),
        measured.train_images_per_second,
        measured.predict_images_per_second,
        measured.latency_ms_p50,
        if device.is_cpu() { String::new() } else { format!("on {device}\n") },
    ))?;
    if args.layers {
        print(&format!("\n{}", layer_table(&costs)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn layer_table(costs: &[LayerCost]) -> String {
    let headings = [
        "layer",
        "output shape",
        "method",
        "forward ms",
        "GFLOP/s",
        "backward ms",
        "GFLOP/s",
        "share",
        "predict ms",
        "GFLOP/s",
        "share",
    ];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    let ms = |ms: f64| if ms > 0.0 { format!("{ms:.2}") } else { String::new() };
    let rate = |rate: Option<f64>| rate.map_or_else(String::new, |rate| format!("{rate:.0}"));
    let share = |share: f64| if share > 0.0 { format!("{:.1} %", share * 100.0) } else { String::new() };
    for cost in costs {
        rows.push(vec![
            format!("{}{}", "  ".repeat(cost.depth), cost.name),
            cost.output_shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x"),
            cost.method.clone(),
            ms(cost.forward_ms),
            rate(cost.forward_gflops),
            ms(cost.backward_ms),
            rate(cost.backward_gflops),
            share(cost.train_share),
            ms(cost.predict_ms),
            rate(cost.predict_gflops),
            share(cost.predict_share),
        ]);
    }
    let total = |of: fn(&LayerCost) -> f64| costs.iter().map(of).sum();
    let mut last = vec![String::new(); headings.len()];
    last[0] = "total".into();
    last[3] = ms(total(|cost| cost.forward_ms));
    last[5] = ms(total(|cost| cost.backward_ms));
    last[8] = ms(total(|cost| cost.predict_ms));
    rows.push(last);
    table(&rows)
}
