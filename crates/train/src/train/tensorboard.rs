//! TensorBoard event files: records of length, masked CRC-32C, a protobuf `Event`, and another CRC
//! (TensorFlow's `TFRecord` format).

use super::record::EpochRecord;
use crc::{CRC_32_ISCSI, Crc, NoTable};
use prost::Message;

/// CRC-32C without a table: an event file has a few hundred bytes per epoch.
const CRC_32C: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISCSI);

/// The part of TensorFlow's `event.proto` that scalars need. Fields are optional because proto3
/// omits zeros, which are values here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, optional, tag = "1")]
    wall_time: Option<f64>,
    #[prost(int64, optional, tag = "2")]
    step: Option<i64>,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// Of `summary.proto`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `Summary.Value` of `summary.proto`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// All epochs as scalar summaries.
pub fn events(history: &[EpochRecord]) -> Vec<u8> {
    let started = history.first().map_or(0.0, |record| record.wall_time - record.seconds);
    let version =
        Event { wall_time: Some(started), file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
    let mut out = Vec::new();
    push_record(&mut out, &version);
    history.iter().for_each(|record| push_record(&mut out, &epoch(record)));
    out
}

fn epoch(record: &EpochRecord) -> Event {
    let scalars = [
        ("loss/train", record.train_loss),
        ("loss/validation", record.validation_loss),
        ("accuracy/train", record.train_accuracy),
        ("accuracy/validation", record.validation_accuracy),
        ("learning_rate", f64::from(record.learning_rate)),
        ("images_per_second", record.images_per_second),
    ];
    let value = |(tag, value): (&str, f64)| Value { tag: tag.to_owned(), simple_value: Some(value as f32) };
    Event {
        wall_time: Some(record.wall_time),
        step: Some(record.epoch as i64),
        summary: Some(Summary { value: scalars.map(value).to_vec() }),
        ..Event::default()
    }
}

fn push_record(out: &mut Vec<u8>, event: &Event) {
    let payload = event.encode_to_vec();
    let length = (payload.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(&payload);
    out.extend(masked_crc(&payload).to_le_bytes());
}

fn masked_crc(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base16ct::lower::encode_string as hex;

    /// A validation accuracy of 0 is written too.
    #[test]
    fn the_event_file_format_is_stable() {
        let record = EpochRecord {
            epoch: 300,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: 1.1,
            validation_accuracy: 0.0,
            validation_macro_f1: None,
            seconds: 2.0,
            images_per_second: 100.0,
            wall_time: 1000.0,
        };
        let expected = "\
            1800000000000000a37f4b22090000000000308f401a0d627261696e2e4576656e743a32a34290549d00000000000000631717500900\
            00000000408f4010ac022a8e010a110a0a6c6f73732f747261696e150000803f0a160a0f6c6f73732f76616c69646174696f6e15cdcc\
            8c3f0a150a0e61636375726163792f747261696e150000003f0a1a0a1361636375726163792f76616c69646174696f6e15000000000a\
            140a0d6c6561726e696e675f7261746515cdcccc3d0a180a11696d616765735f7065725f7365636f6e64150000c8420f378d1f";
        assert_eq!(hex(&events(&[record])), expected);
        let version = "1800000000000000a37f4b220900000000000000001a0d627261696e2e4576656e743a32eedf28a3";
        assert_eq!(hex(&events(&[])), version);
    }

    #[test]
    fn records_contain_their_length() {
        let record = EpochRecord {
            epoch: 300,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: 1.1,
            validation_accuracy: 0.4,
            validation_macro_f1: None,
            seconds: 2.0,
            images_per_second: 100.0,
            wall_time: 1000.0,
        };
        let file = events(&[record]);
        let mut rest = &file[..];
        let mut payloads = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            payloads.push(&rest[12..12 + length]);
            rest = &rest[16 + length..];
        }
        assert_eq!(payloads.len(), 2);
        assert!(payloads[0].ends_with(b"brain.Event:2"));
        assert!(payloads[1].windows(19).any(|w| w == b"accuracy/validation"));
        // Field 2, the step, is 300 as a varint.
        assert_eq!(payloads[1][9..12], [0x10, 0xac, 0x02]);
    }
}
