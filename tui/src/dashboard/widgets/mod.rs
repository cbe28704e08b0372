//! Pictures of figures, which several screens show.

pub mod bar;
pub mod graph;
pub mod heatmap;
pub mod title;
