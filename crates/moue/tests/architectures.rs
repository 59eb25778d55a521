//! Architecture files: what they mean, and what is said about broken ones.

use moue::config::{Config, PRESETS};
use moue::model::{ArchitectureError, build, summary};
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

#[test]
fn every_preset_parses_builds_and_survives_being_resolved() {
    for preset in PRESETS {
        let config = Config::parse(preset.name, preset.text).unwrap();
        assert_eq!(config.model.name, preset.name);
        assert!(preset.about().len() > 20, "{} says what it is", preset.name);
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
fn complaints_name_the_line_and_the_layer() {
    let dense = "  { kind = \"flatten\" },\n  { kind = \"dense\", units = \"classes\" },";
    let complaints = [
        "  { kind = \"conv2d\", filters = 8, kernel_size = 60 },".to_owned() + dense,
        "  { kind = \"conv2d\", filters = 8 },\n  { kind = \"dense\", units = 7 },".to_owned(),
        "  { kind = \"residual\", layers = [\n    { kind = \"conv2d\", filters = 8 },\n    { kind = \"dropout\", rate = 1.5 },\n  ] },".to_owned() + dense,
        "  { kind = \"residual\", layers = [\n    { kind = \"conv2d\", filters = 8 },\n  ], shortcut = [\n    { kind = \"conv2d\", filters = 8, strides = 0 },\n  ] },".to_owned() + dense,
        "  { kind = \"residual\", layers = [{ kind = \"conv2d\", filters = 8 }] },".to_owned() + dense,
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
    assert!(error.contains("presets are small, seed/kaggle-notebook"), "{error}");
}

#[test]
fn a_head_for_another_number_of_classes_is_told() {
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
