//! TensorBoard's event file: records of length, masked CRC-32C, a protobuf
//! `Event`, and again a CRC (the layout of TensorFlow's `TFRecord` and
//! `event.proto`).

use super::record::EpochRecord;

/// All epochs as scalar summaries.
pub fn events(history: &[EpochRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    let started = history.first().map_or(0.0, |record| record.wall_time - record.seconds);
    let mut version = Vec::new();
    double(&mut version, 1, started);
    bytes(&mut version, 3, b"brain.Event:2");
    push_record(&mut out, &version);
    for record in history {
        let scalars = [
            ("loss/train", record.train_loss),
            ("loss/validation", record.validation_loss),
            ("accuracy/train", record.train_accuracy),
            ("accuracy/validation", record.validation_accuracy),
            ("learning_rate", f64::from(record.learning_rate)),
            ("images_per_second", record.images_per_second),
        ];
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            bytes(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | 5);
            entry.extend((value as f32).to_le_bytes());
            bytes(&mut summary, 1, &entry);
        }
        let mut event = Vec::new();
        double(&mut event, 1, record.wall_time);
        event.push(2 << 3);
        varint(&mut event, record.epoch as u64);
        bytes(&mut event, 5, &summary);
        push_record(&mut out, &event);
    }
    out
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_record(out: &mut Vec<u8>, payload: &[u8]) {
    let length = (payload.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(payload);
    out.extend(masked_crc(payload).to_le_bytes());
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: an event file has a few hundred bytes an
/// epoch.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_say_their_length() {
        let record = EpochRecord {
            epoch: 300,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: 1.1,
            validation_accuracy: 0.4,
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
