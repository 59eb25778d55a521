//! The page of a search for similar images.

use super::page::page;
use crate::data::Dataset;
use crate::evaluate::{Neighbor, Query};
use maud::html;
use moue::render::image_url;

/// The image and those that are similar to it, as an HTML page.
#[must_use]
pub fn similar(title: &str, name: &str, dataset: &Dataset, query: &Query, found: &[Neighbor]) -> String {
    let url = |pixels: &[u8]| image_url(pixels, dataset.shape());
    let label = |image: usize| &dataset.classes()[dataset.labels()[image] as usize];
    let body = html! {
        h1 { (title) }
        p { "The most similar images first: by the cosine of the angle between the features of the network, 1 for equal ones." }
        div.faces {
            figure {
                @if let Some(source) = url(query.pixels(dataset)) { img src=(source) alt=(name); }
                figcaption {
                    b { "the image" } br;
                    @if let Query::Image(image) = query { (label(*image)) br; }
                    span.soft { (name) }
                }
            }
            @for Neighbor { image, similarity } in found {
                figure {
                    @if let Some(source) = url(dataset.image(*image)) { img src=(source) alt=(format!("image {}", dataset.ids()[*image])); }
                    figcaption {
                        b { (format!("{similarity:.3}")) } " " (label(*image)) br;
                        span.soft { (dataset.ids()[*image]) " (" (dataset.splits()[*image].name()) ")" }
                    }
                }
            }
        }
    };
    page(title, &body)
}
