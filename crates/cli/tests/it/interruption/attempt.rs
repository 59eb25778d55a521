//! Runs a command once without interruption, and any number of times with SIGKILL at a random moment, after which it is
//! repeated. Both must leave the same bytes.

use super::contents::{check, files, listed, without_times};
use crate::place::{Place, text};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a command is killed, unless `MOUE_TEST_KILLS` is a number.
const KILLS: u64 = 5;

/// How often the folder is read.
const POLL: Duration = Duration::from_micros(200);

/// A command that writes into its working folder, and what is run after an interruption; both have the folder.
pub struct Interrupted<'a> {
    pub start: &'a dyn Fn(&Path) -> Vec<String>,
    pub again: &'a dyn Fn(&Path) -> Vec<String>,
}

/// When a command is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    /// After so many changes of its folder, and this time.
    Changes(usize, Duration),
}

impl Interrupted<'_> {
    /// Kills the command in folders of its own, to each of which `prepare` is applied first.
    pub fn loses_nothing(&self, place: &Place, prepare: &dyn Fn(&Path)) {
        let folder = |name: &str| {
            let folder = place.path(name);
            fs::create_dir(&folder).unwrap();
            prepare(&folder);
            folder
        };
        let whole = folder("whole");
        let (duration, changes) = watch(place, &whole, &(self.start)(&whole), None);
        let written = files(&whole);
        check(&whole, &written);
        let expected = without_times(&written);
        let kills = env::var("MOUE_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
        for number in 0..kills {
            let folder = folder(&format!("killed-{number}"));
            let mut random = Random(number);
            let mut arguments = (self.start)(&folder);
            // Every other command is killed again while it is repeated.
            for repetition in 0..=number % 2 {
                let moment = match number + repetition {
                    // Before anything is written.
                    0 => Moment::After(random.up_to(Duration::from_millis(10))),
                    even if even % 2 == 0 => Moment::After(random.up_to(duration)),
                    _ => Moment::Changes(
                        random.below(changes as u64) as usize + 1,
                        random.up_to(Duration::from_micros(500)),
                    ),
                };
                eprintln!("{number}: {arguments:?} is killed, {moment:?} of {duration:?}, {changes} changes");
                watch(place, &folder, &arguments, Some(moment));
                check(&folder, &written);
                arguments = (self.again)(&folder);
            }
            watch(place, &folder, &arguments, None);
            assert_same(&expected, &without_times(&files(&folder)));
        }
    }
}

/// Fails with the name of the first file that differs.
pub fn assert_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, bytes) in expected {
        let same = bytes.iter().zip(&found[name]).take_while(|(one, other)| one == other).count();
        let around = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[same.saturating_sub(40)..bytes.len().min(same + 40)]).into_owned()
        };
        assert!(
            *bytes == found[name],
            "{name} differs at byte {same}: {:?}, not {:?}",
            around(&found[name]),
            around(bytes)
        );
    }
}

/// Runs the command to its end, which must be a success, or kills it. Returns how long it ran and how often its folder
/// changed.
fn watch(place: &Place, folder: &Path, arguments: &[String], moment: Option<Moment>) -> (Duration, usize) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = place.command(&arguments);
    command.current_dir(folder).env("MOUE_CACHE", folder.join("cache"));
    let log = place.path("log");
    command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let (mut child, start) = (command.spawn().unwrap(), Instant::now());
    let (mut known, mut changes) = (listed(folder), 0);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let log = text(&fs::read(&log).unwrap());
            assert!(status.success(), "{arguments:?}: {status}: {log}");
            return (start.elapsed(), changes);
        }
        if !matches!(moment, Some(Moment::After(_))) {
            let now = listed(folder);
            changes += usize::from(now != known);
            known = now;
        }
        let is_due = match moment {
            None => false,
            Some(Moment::After(time)) => start.elapsed() >= time,
            Some(Moment::Changes(number, time)) => {
                let is_due = changes >= number;
                if is_due {
                    sleep(time);
                }
                is_due
            }
        };
        if is_due {
            child.kill().unwrap();
            child.wait().unwrap();
            return (start.elapsed(), changes);
        }
        sleep(POLL);
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn up_to(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(limit.as_micros() as u64))
    }
}
