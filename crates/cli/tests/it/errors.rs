//! Error analysis: the page of an evaluation, and similar images.

use crate::place::Place;
use crate::schema::validate;
use serde_json::Value;
use std::fs;

/// Synthetic faces in folders, votes on them, and two trained networks.
fn place() -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "210", "--quiet"]);
    place.ok(&["data", "table", "faces", "--out", "table.csv", "--quiet"]);
    let table = fs::read_to_string(place.path("table.csv")).unwrap();
    let classes = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];
    let mut votes = format!("path,{}\n", classes.join(","));
    for (number, line) in table.lines().skip(1).enumerate() {
        let path = line.split(',').next().unwrap();
        // Every other image has as many votes for two classes.
        let counts = classes.iter().map(|class| if path.contains(class) || number % 2 == 0 { 5 } else { 0 });
        let counts: Vec<String> = counts.map(|count: u32| count.to_string()).collect();
        votes.push_str(&format!("{path},{}\n", counts.join(",")));
    }
    place.put("votes.csv", votes);
    place.ok(&["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", "one", "--quiet"]);
    place.ok(&["train", "tiny.toml", "--data", "faces", "--seed", "4", "--out", "other", "--quiet"]);
    place
}

#[test]
fn a_report_shows_what_is_misclassified() {
    let place = place();
    let evaluate = ["evaluate", "one", "--data", "faces", "--votes", "votes.csv", "--compare", "other", "--json"];
    let with =
        |threads: &str, out: &str| place.json(&[&evaluate[..], &["--threads", threads, "--report", out]].concat());
    let document = with("1", "report");
    validate("evaluate", &document);
    assert_eq!(with("3", "again"), document);
    let read = |folder: &str| fs::read_to_string(place.path(folder).join("report.html")).unwrap();
    let page = read("report");
    assert!(page == read("again"), "the page is the same for any number of threads");
    let text = place.page("report/report.html");
    assert!(!text.contains("NaN") && !text.contains("http") && !place.path("report/report-assets").exists());
    let start = page.find("<script id=\"data\" type=\"application/json\">").unwrap();
    let data = &page[start..];
    let data = &data[data.find('>').unwrap() + 1..data.find("</script>").unwrap()];
    let data: Value = serde_json::from_str(data).unwrap();
    // Each cell has its number of images, and shows them all if they are few.
    for (row, cells) in document["confusion"].as_array().unwrap().iter().zip(data["cells"].as_array().unwrap()) {
        for (count, cell) in row.as_array().unwrap().iter().zip(cells.as_array().unwrap()) {
            assert_eq!(count, &cell[0]);
            assert_eq!(cell[1].as_array().unwrap().len() as u64, count.as_u64().unwrap().min(24));
        }
    }
    let items = data["items"].as_array().unwrap();
    assert!(items.iter().filter(|item| item[1] == 2).all(|item| item[6].is_array() && item[7].is_string()));
    assert_eq!(data["disagreements"][0][0], document["compare"][0]["paired"]["only_first"]);
    let of_split = document["n"].as_u64().unwrap();
    let training = items.iter().filter(|item| item[1] == 0).count() as u64;
    assert_eq!(data["map"]["images"].as_array().unwrap().len() as u64, of_split + training);
    assert_eq!(data["map"]["tsne"].as_array().unwrap().len() as u64, 2 * (of_split + training));
    let groups = &document["error_votes"];
    assert_eq!(groups["errors"]["n"].as_u64().unwrap() + groups["correct"]["n"].as_u64().unwrap(), of_split);
    let share = |group: &str| groups[group]["disagreement"].as_f64().unwrap();
    assert!(share("errors") > 0.2 && share("errors") < 0.8, "{groups}");
}

#[test]
fn similar_images_are_listed() {
    let place = place();
    let table = fs::read_to_string(place.path("table.csv")).unwrap();
    let path = table.lines().nth(8).unwrap().split(',').next().unwrap();
    let found = place.json(&["data", "similar", "faces", path, "--model", "one", "--count", "5", "--json"]);
    validate("data-similar", &found);
    let similar = found["similar"].as_array().unwrap();
    assert!(similar.len() == 5 && found["in_data"] == true && similar.iter().all(|own| own["id"] != path), "{found}");
    let file = format!("faces/{path}");
    let given = place.json(&["data", "similar", "faces", &file, "--model", "one", "--out", "it.html", "--json"]);
    assert!(given["in_data"] == false && given["similar"].as_array().unwrap().len() == 12);
    assert_eq!((&given["similar"][0]["id"], &given["similar"][1]), (&path.into(), &similar[0]));
    let page = fs::read_to_string(place.path("it.html")).unwrap();
    assert_eq!(page.matches("<img").count(), 13);
    let (code, error) = place.fails(&["data", "similar", "faces", "no-such.png", "--model", "one"]);
    assert!(code == 1 && error.contains("neither a file nor an image of the data"), "{error}");
    let (code, error) = place.fails(&["data", "similar", "faces", path, "--out", "it.png"]);
    assert!(code == 2 && error.contains(".html"), "{error}");
}
