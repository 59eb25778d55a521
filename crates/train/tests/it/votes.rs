//! Votes as targets: FER+'s protocol on FER2013, and trainings that use them.

use crate::training::{config, run};
use moue_train::config::{Config, DataOptions, TargetKind, VoteMode};
use moue_train::data::{Cache, Dataset, ImageSpec, Split, Votes, label_agreement, open, synthetic};
use moue_train::evaluate::{EvaluateOptions, evaluate};
use moue_train::experiment::{RunConfig, RunOptions};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes synthetic faces as FER2013's CSV, and votes on them: the label has 7 of 10, the next class
/// the others. Every tenth image has none.
pub fn put_voted_faces(folder: &Path, count: usize) -> (PathBuf, PathBuf) {
    let faces = synthetic::dataset(count, ImageSpec { size: Some([24, 24]), channels: 1 }, 0);
    let (mut data, mut votes) =
        ("emotion,Usage,pixels\n".to_owned(), format!("row,{},unknown,NF\n", faces.classes().join(",")));
    for index in 0..faces.len() {
        let image = faces.labeled_image(index);
        let pixels: Vec<String> = image.pixels.iter().map(u8::to_string).collect();
        let usage = ["Training", "PublicTest", "PrivateTest"][image.split as usize];
        let _ = writeln!(data, "{},{usage},{}", faces.classes()[image.label as usize], pixels.join(" "));
        let next = (image.label as usize + 1) % 7;
        let count = |class: usize| if class == image.label as usize { 7 } else { 3 * usize::from(class == next) };
        if index % 10 != 9 {
            let counts: Vec<String> = (0..7).map(|class| count(class).to_string()).collect();
            let _ = writeln!(votes, "{index},{},0,0", counts.join(","));
        }
    }
    let paths = (folder.join("faces.csv"), folder.join("votes.csv"));
    std::fs::write(&paths.0, data).unwrap();
    std::fs::write(&paths.1, votes).unwrap();
    paths
}

fn voted(config: &Config, data: &Path) -> Dataset {
    open(data, ImageSpec::of_input(config.model.input), &config.data, 0, &Cache::off(), &|_| {}).unwrap()
}

pub const NET: &str = r#"
[model]
name = "voted"
input = [24, 24, 1]
layers = [
  { kind = "conv2d", filters = 8, strides = 2, activation = "relu" },
  { kind = "dropout", rate = 0.1 },
  { kind = "global_average_pooling2d" },
  { kind = "dense", units = "classes" },
]
[augment]
flip = true
mixup = 0.4
[train]
epochs = 2
batch_size = 32
learning_rate = 0.01
label_smoothing = 0.1
class_weights = "balanced"
logit_adjustment = 0.5
"#;

#[test]
fn trainings_on_votes_are_bit_identical_and_resume() {
    let place = tempfile::tempdir().unwrap();
    let (data, votes) = put_voted_faces(place.path(), 280);
    let mut models = Vec::new();
    for (targets, mode) in [
        (TargetKind::Votes, VoteMode::CrossEntropy),
        (TargetKind::Votes, VoteMode::Probability),
        (TargetKind::Votes, VoteMode::Majority),
        (TargetKind::Mixed, VoteMode::CrossEntropy),
    ] {
        let mut config = config(NET);
        config.data =
            DataOptions { votes: Some(votes.clone()), targets: Some(targets), vote_mode: mode, ..config.data };
        let dataset = voted(&config, &data);
        let name = format!("{targets:?}-{mode:?}");
        let bytes = |threads: usize, stops: &[usize]| {
            let folder = place.path().join(format!("{name}-{threads}"));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for (number, &stop) in stops.iter().enumerate() {
                pool.install(|| run(&config, &dataset, &folder, number > 0, stop)).unwrap();
            }
            std::fs::read(folder.join("model.safetensors")).unwrap()
        };
        let whole = bytes(1, &[0]);
        assert_eq!(bytes(3, &[3, 7, 0]), whole, "{name}");
        // config.toml alone has the options of the votes.
        let again = std::fs::read_to_string(place.path().join(format!("{name}-1/config.toml"))).unwrap();
        assert_eq!(Config::parse("again", &again).unwrap(), config);
        models.push(whole);
    }
    models.sort();
    models.dedup();
    assert_eq!(models.len(), 4, "each kind of target gives another model");
}

#[test]
fn a_model_records_what_its_targets_are() {
    let place = tempfile::tempdir().unwrap();
    let (data, votes) = put_voted_faces(place.path(), 280);
    let mut config = config(NET);
    config.data.votes = Some(votes);
    let dataset = voted(&config, &data);
    let model = run(&config, &dataset, &place.path().join("run"), false, 0).unwrap().model.unwrap();
    let provenance = model.provenance();
    assert_eq!(provenance.targets.as_deref(), Some("votes (crossentropy)"));
    let images: usize = provenance.training_images.iter().sum();
    assert_eq!(images, dataset.indices(Split::Train).len());
    assert!((provenance.target_mass.iter().sum::<f64>() - images as f64).abs() < 1e-3);
    assert!((provenance.prior().unwrap().iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn options_of_votes_are_checked_together() {
    let place = tempfile::tempdir().unwrap();
    let resolved = |data: &str, votes: Option<&str>| {
        let arch = place.path().join("net.toml");
        std::fs::write(&arch, format!("{NET}\n[data]\n{data}")).unwrap();
        let options = RunOptions {
            arch: Some(arch.display().to_string()),
            data: Some("fer2013.csv".into()),
            votes: votes.map(Into::into),
            set: vec![("data.vote_weight".into(), "0.25".into())],
            ..RunOptions::default()
        };
        RunConfig::resolve(&options).map(|run| run.config.data).map_err(|error| error.to_string())
    };
    let refused = |data: &str, part: &str| {
        let message = resolved(data, None).unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    refused("targets = \"votes\"", "data.targets = \"votes\" requires a file of votes: data.votes, or --votes FILE");
    refused("contempt = true", "data.contempt requires votes as targets");
    refused("vote_weight = 2.0", "`data.vote_weight` is 2; it must be between 0 and 1");
    refused("targets = \"vote\"", "did you mean `votes`?");
    // The file may name the targets, and the command line the votes.
    let data = resolved("targets = \"mixed\"\ncontempt = true", Some("votes.csv")).unwrap();
    assert_eq!((data.target_kind(), data.vote_weight, data.votes), (TargetKind::Mixed, 0.25, Some("votes.csv".into())));
    assert_eq!(resolved("", Some("votes.csv")).unwrap().target_kind(), TargetKind::Votes);
    assert_eq!(resolved("targets = \"labels\"", Some("votes.csv")).unwrap().target_kind(), TargetKind::Labels);
}

#[test]
fn predictions_are_compared_with_votes() {
    let place = tempfile::tempdir().unwrap();
    let (data, votes) = put_voted_faces(place.path(), 280);
    let mut net = config(NET);
    net.data = DataOptions { votes: Some(votes.clone()), contempt: false, ..net.data };
    run(&net, &voted(&net, &data), &place.path().join("run"), false, 0).unwrap();
    let model = place.path().join("run/model.safetensors");
    let evaluated = |votes: &Path, split: &str| {
        let options = EvaluateOptions {
            model: model.clone(),
            data: Some(data.clone()),
            votes: Some(votes.to_owned()),
            split: Some(split.into()),
            compare: vec![model.clone()],
            ..EvaluateOptions::default()
        };
        evaluate(&options, &mut |_| {})
    };
    let found = evaluated(&votes, "test").unwrap();
    let of_votes = found.votes.unwrap();
    // The majority is the label, and every tenth image has no votes.
    assert_eq!((of_votes.n + of_votes.no_votes, of_votes.label_agreement), (found.result.metrics.n, 1.0));
    assert!(of_votes.no_votes > 0 && (of_votes.agreement_of_one - 0.7).abs() < 1e-6);
    assert!(of_votes.cross_entropy > of_votes.entropy && of_votes.entropy > 0.5);
    assert_eq!(found.others[0].votes.as_ref(), Some(&of_votes));
    let path = place.path().join("few.csv");
    std::fs::write(&path, std::fs::read_to_string(&votes).unwrap().lines().take(2).collect::<Vec<_>>().join("\n"))
        .unwrap();
    let error = evaluated(&path, "test").err().unwrap().to_string();
    assert!(error.contains("have none on the images of the split test (PrivateTest)"), "{error}");
}

/// A model with FER+'s eighth class is evaluated on FER2013's labels, which do not have it.
#[test]
fn a_model_with_contempt_is_evaluated_on_labels_without_it() {
    let place = tempfile::tempdir().unwrap();
    let (data, votes) = put_voted_faces(place.path(), 140);
    let with_contempt = std::fs::read_to_string(&votes).unwrap();
    let lines =
        with_contempt.lines().enumerate().map(|(i, line)| format!("{line},{}", if i == 0 { "contempt" } else { "0" }));
    let votes = place.path().join("eight.csv");
    std::fs::write(&votes, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let mut net = config(NET);
    net.train.logit_adjustment = 0.0;
    net.data = DataOptions { votes: Some(votes.clone()), contempt: true, ..net.data };
    run(&net, &voted(&net, &data), &place.path().join("run"), false, 0).unwrap();
    let model = place.path().join("run");
    let options = EvaluateOptions { model, data: Some(data), votes: Some(votes), ..EvaluateOptions::default() };
    let found = evaluate(&options, &mut |_| {}).unwrap();
    assert_eq!(found.result.metrics.labels[1], "contempt");
    assert_eq!((found.result.metrics.per_class[1].support, found.votes.unwrap().of_classes.labels.len()), (0, 8));
}

/// The sizes that FER+'s protocol has in its authors' code and in published results.
#[test]
fn fer_plus_has_its_published_sizes() {
    let folder = std::env::var_os("MOUE_TEST_DATA").map(PathBuf::from).unwrap_or_default();
    let (data, votes) = (folder.join("fer2013-train-public.csv.gz"), folder.join("ferplus-votes-train-public.csv"));
    if !data.exists() || !votes.exists() {
        eprintln!("SKIPPED: MOUE_TEST_DATA is not a folder with fer2013-train-public.csv.gz and its votes");
        return;
    }
    let spec = ImageSpec { size: None, channels: 1 };
    let read = |options: &DataOptions| open(&data, spec, options, 0, &Cache::off(), &|_| {}).unwrap();
    let dataset = read(&DataOptions::default());
    let found = label_agreement(&dataset, &Votes::open(&votes).unwrap().matched(&dataset).unwrap());
    let sizes = |split: usize| (found.splits[split].n, found.splits[split].n_of_classes);
    assert_eq!((sizes(0), sizes(1)), ((25_060, 24_941), (3_199, 3_186)));
    assert!((found.splits[0].agreement - 0.680).abs() < 0.002 && (found.splits[1].agreement - 0.670).abs() < 0.002);
    let fear = &found.splits[0].per_class[2];
    assert!(fear.label == "fear" && (fear.agreement - 0.14).abs() < 0.01, "{fear:?}");
    // Kaggle's files are numbered as FER2013's rows, in whatever folder they are.
    let zip = folder.join("kaggle-layout-sample.zip");
    if zip.exists() {
        let sample =
            open(&zip, spec, &DataOptions::default().with_split(false, true), 0, &Cache::off(), &|_| {}).unwrap();
        let found = label_agreement(&sample, &Votes::open(&votes).unwrap().matched(&sample).unwrap());
        assert!(found.splits.iter().all(|split| split.no_votes == 0 && split.agreement > 0.6), "{found:?}");
    }
    let trained = |contempt| {
        let options = DataOptions {
            votes: Some(votes.clone()),
            vote_mode: VoteMode::Majority,
            contempt,
            ..DataOptions::default()
        };
        let dataset = read(&options);
        [Split::Train, Split::Validation].map(|split| dataset.indices(split).len())
    };
    assert_eq!((trained(true), trained(false)), ([25_060, 3_199], [24_941, 3_186]));
}
