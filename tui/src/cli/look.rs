//! What the dashboard looks like, on the command line.

use crate::dashboard::theme::Palette;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// What the dashboard looks like, and its keys.
#[derive(Clone, Debug, Default, Args)]
pub struct LookArgs {
    /// Show and print ASCII even where the locale has more
    #[arg(long)]
    pub ascii: bool,

    /// The colours of the dashboard [default: what TERM and COLORTERM say; none where NO_COLOR is set]
    #[arg(long, value_name = "COLOURS", value_parser = palette())]
    pub palette: Option<Palette>,

    /// Keys of the dashboard: lines of `action = key key ...` [default: rumpscope/keys in the folder of settings]
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}

fn palette() -> impl TypedValueParser<Value = Palette> {
    let help = |palette| match palette {
        Palette::None => "none; nothing is told by colour alone",
        Palette::Sixteen => "those of the terminal's own theme",
        Palette::Indexed => "256",
        Palette::True => "all",
    };
    let values = Palette::ALL.map(|palette| PossibleValue::new(palette.name()).help(help(palette)));
    PossibleValuesParser::new(values)
        .try_map(|name| Palette::ALL.into_iter().find(|palette| palette.name() == name).ok_or("unknown palette"))
}
