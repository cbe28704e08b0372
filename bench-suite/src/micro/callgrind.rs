//! The files of `callgrind`: how many instructions were executed in which function.
//!
//! The format is described in the Valgrind manual, "Callgrind Format Specification". Read is what is written with
//! `--compress-strings=no --compress-pos=no`: lines that name the object (`ob=`) and the function (`fn=`) that are spoken
//! of from there on, lines of costs (a line of the source, instructions), and, after a line `calls=`, one line with what
//! was spent in the called function, which is spoken of elsewhere.

use super::instructions::Function;
use std::collections::BTreeMap;

/// The functions in which instructions were executed, with how many, in the order of their names.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let mut found = BTreeMap::<(&str, &str), u64>::new();
    let (mut object, mut function) = ("", "");
    let mut of_a_call = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = name;
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            of_a_call = true;
        } else if let Some(instructions) = cost(line)
            && !core::mem::take(&mut of_a_call)
        {
            *found.entry((object, function)).or_default() += instructions;
        }
    }
    let function = |((object, name), instructions): ((&str, &str), u64)| Function {
        object: object.to_owned(),
        name: name.to_owned(),
        instructions,
    };
    found.into_iter().map(function).collect()
}

/// The instructions of a line of costs; `None`: another line.
fn cost(line: &str) -> Option<u64> {
    let (position, instructions) = line.split_once(' ')?;
    position.bytes().all(|byte| byte.is_ascii_digit()).then(|| instructions.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_called_functions_cost_is_theirs() {
        let text = "\
# callgrind format
pid: 12
desc: Timerange: Basic block 0 - 28011
positions: line
events: Ir
summary: 950

ob=/bin/guest
fl=guest.c
fn=work
3 14
cob=/lib/host.so
cfi=host.c
cfn=call
calls=1 38
3 10
4 6

ob=/lib/host.so
fl=host.c
fn=call
38 7
fi=other.h
40 3
totals: 950
";
        let function = |object: &str, name: &str, instructions| Function {
            object: object.to_owned(),
            name: name.to_owned(),
            instructions,
        };
        assert_eq!(functions(text), [function("/bin/guest", "work", 20), function("/lib/host.so", "call", 10)]);
        assert_eq!(functions(""), []);
    }
}
