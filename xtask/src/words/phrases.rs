//! The list of avoided words.

/// A phrase (its words separated by spaces, the forms of a word by `|`), and what to write instead.
pub const AVOIDED: [(&str, &str); 18] = [
    ("in the box", "bundled"),
    ("taught by", "distilled from"),
    ("judge|judges|judged|judging", "evaluate, metrics"),
    ("learn|learns|learned from", "trained on"),
    ("the same bits", "bit-identical"),
    ("drawn faces", "synthetic faces"),
    ("a little too good", "optimistic"),
    ("is|are taken for", "is misclassified as"),
    ("right among", "selective accuracy"),
    ("what the|an|its|each answer rests on", "saliency map"),
    ("film|films", "video"),
    ("tell|tells the expression", "predict the facial expression"),
    ("nobody", "no one"),
    ("look|looks into", "search, read"),
    ("is|are answered", "gets a response, returns"),
    ("told", "specified, reported"),
    ("settled", "resolved"),
    ("say|says nothing but", "print only"),
];
