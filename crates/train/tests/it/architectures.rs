//! Architecture files: networks and error messages.

use moue::model::{ArchitectureError, build, summary};
use moue_train::config::{Config, PRESETS};
use proptest::prelude::*;

#[test]
fn the_kaggle_notebook_has_its_published_size() {
    let config = Config::open("seed/kaggle-notebook").unwrap();
    let rows = summary(&build(&config.model, 7, 0).unwrap());
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<usize>(), 4_232_199);
    let shapes: Vec<_> =
        rows.iter().filter(|row| row.kind == "max_pooling2d").map(|row| row.output_shape.clone()).collect();
    assert_eq!(shapes, [vec![23, 23, 128], vec![10, 10, 256], vec![4, 4, 512], vec![512]]);
}

/// Stages of EfficientNet-B0 as published (Tan, Le 2019, table 1), at 224 × 224:
/// operator, side and channels of the output, and number of layers.
#[test]
fn efficientnet_b0_is_the_published_one() {
    let mut config = Config::open("seed/basic-efficientnet").unwrap();
    config.model.input = [224, 224, 3];
    let rows = summary(&build(&config.model, 1000, 0).unwrap());
    // Projections end a block: the 1 × 1 convolutions without activation after a depthwise one.
    let depthwise: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].kind == "depthwise_conv2d").collect();
    let blocks: Vec<(usize, usize)> = depthwise
        .iter()
        .map(|&at| {
            let project = rows[at..].iter().find(|row| row.kind == "conv2d").unwrap();
            (project.output_shape[0], project.output_shape[2])
        })
        .collect();
    let stages = [(112, 16, 1), (56, 24, 2), (28, 40, 2), (14, 80, 3), (14, 112, 3), (7, 192, 4), (7, 320, 1)];
    let published: Vec<(usize, usize)> = stages.iter().flat_map(|&(side, c, n)| vec![(side, c); n]).collect();
    assert_eq!(blocks, published);
    let kernels = [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3];
    for (&at, kernel) in depthwise.iter().zip(kernels) {
        let row = &rows[at];
        assert_eq!(row.parameters, kernel * kernel * row.output_shape[2], "{}", row.name);
    }
    // Keras counts 4,049,571 without the head, seven of them in its normalization of the input.
    let head = rows.iter().rposition(|row| row.kind == "global_average_pooling2d").unwrap();
    assert_eq!(rows[..head].iter().map(|row| row.parameters).sum::<usize>(), 4_049_571 - 7);
    // 0.39 billion multiply-adds.
    let macs: usize = rows[..head].iter().map(|row| row.macs).sum();
    assert!((380_000_000..395_000_000).contains(&macs), "{macs}");
}

#[test]
fn blocks_expand_to_layers() {
    let text = r#"[model]
name = "x"
input = [9, 7, 1]
layers = [
  { kind = "separable_conv2d", filters = 8, strides = 2, padding = "same", activation = "relu", kernel_l2 = 0.01 },
  { kind = "squeeze_excite", units = 2 },
  { kind = "mbconv", filters = 8, expansion = 2, stochastic_depth = 0.1 },
  { kind = "mbconv", filters = 12, expansion = 1, squeeze_ratio = 0 },
  { kind = "concatenate", branches = [[{ kind = "global_average_pooling2d" }], [{ kind = "global_max_pooling2d" }]] },
  { kind = "dense", units = "classes" },
]
"#;
    let rows = summary(&build(&Config::parse("x", text).unwrap().model, 3, 0).unwrap());
    let table: Vec<String> = rows
        .iter()
        .map(|row| format!("{}{} {:?} {}", "  ".repeat(row.depth), row.name, row.output_shape, row.parameters))
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn every_preset_parses_builds_and_round_trips() {
    for preset in PRESETS {
        let config = Config::parse(preset.name, preset.text).unwrap();
        assert_eq!(config.model.name, preset.name);
        assert!(preset.about().len() > 20, "{} has a description", preset.name);
        for classes in [2, 7, 11] {
            assert_eq!(build(&config.model, classes, 0).unwrap().output_shape().channels, classes);
        }
        let resolved = config.to_toml().unwrap();
        assert_eq!(Config::parse("resolved", &resolved).unwrap(), config, "{resolved}");
    }
}

fn complaint(layers: &str) -> String {
    let text = format!("[model]\nname = \"x\"\ninput = [48, 48, 1]\nlayers = [\n{layers}\n]\n");
    let error = Config::parse("x.toml", &text).unwrap_err();
    let mut text = error.to_string();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        text += &format!(": {next}");
        cause = next;
    }
    text
}

#[test]
fn errors_name_the_line_and_the_layer() {
    let dense = "  { kind = \"flatten\" },\n  { kind = \"dense\", units = \"classes\" },";
    let complaints = [
        "  { kind = \"conv2d\", filters = 8, kernel_size = 60 },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 8 },\n  { kind = \"dense\", units = 7 },".to_owned(),
        "  { kind = \"residual\", layers = [\n    { kind = \"conv2d\", filters = 8 },\n    { kind = \"dropout\", rate = 1.5 },\n  ] },".to_owned() + dense,
        "  { kind = \"residual\", layers = [\n    { kind = \"conv2d\", filters = 8 },\n  ], shortcut = [\n    { kind = \"conv2d\", filters = 8, strides = 0 },\n  ] },".to_owned() + dense,
        "  { kind = \"residual\", layers = [{ kind = \"conv2d\", filters = 8 }] },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 4 },\n  { kind = \"mbconv\", filters = 4, strides = 0 },".to_owned() + dense,
        "  { kind = \"squeeze_excite\", units = 0 },".to_owned() + dense,
        "  { kind = \"concatenate\", branches = [\n    [{ kind = \"flatten\" }],\n    [{ kind = \"relu\" },\n     { kind = \"dropout\", rate = 2 }],\n  ] },".to_owned() + dense,
        "  { kind = \"concatenate\", branches = [[{ kind = \"flatten\" }], []] },".to_owned() + dense,
        "  { kind = \"concatenate\", branches = [[{ kind = \"flaten\" }]] },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 1000000000 },".to_owned() + dense,
        "  { kind = \"flatten\" },\n  { kind = \"dense\", units = 1000000 },".to_owned() + dense,
        "  { kind = \"conv2d\" },".to_owned() + dense,
        "  { kind = \"conv3d\", filters = 8 },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 8, stride = 2 },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 8, padding = \"full\" },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 8, kernel_size = \"3\" },".to_owned() + dense,
    ];
    let text: Vec<String> = complaints.iter().map(|layers| complaint(layers)).collect();
    insta::assert_snapshot!(text.join("\n---\n"));
}

#[test]
fn numbers_out_of_range_are_named() {
    let text = PRESETS[0].text.replace("learning_rate = 0.1", "learning_rate = -1.0");
    let error = Config::parse("x.toml", &text).unwrap_err().to_string();
    assert!(error.contains("`train.learning_rate` is -1"), "{error}");
    let error = Config::open("no/such/thing").unwrap_err().to_string();
    assert!(error.contains("the presets are small, default, fer2013, ferplus, tiny, seed"), "{error}");
}

#[test]
fn a_head_for_another_number_of_classes_is_an_error() {
    let text = PRESETS[0].text.replace("units = \"classes\"", "units = 5");
    let config = Config::parse("x.toml", &text).unwrap();
    let error = build(&config.model, 7, 0).err().unwrap();
    assert!(matches!(error, ArchitectureError::Classes { classes: 7, .. }));
    assert!(error.to_string().contains("the last layer's output is 1x1x5, but there are 7 classes"), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(place in 0usize..2000, with in "[\\[\\]{}=\",.a-z0-9\n -]{0,8}") {
        let text = PRESETS[0].text;
        let place = place % text.len();
        let Some((before, after)) = text.split_at_checked(place) else { return Ok(()) };
        let _ = Config::parse("fuzz", &format!("{before}{with}{after}"));
    }
}
