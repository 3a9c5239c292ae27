//! The checksum of labels and metadata: CRC-32 with the usual polynomial, another beginning and nothing at its end.

const INITIAL_CRC: u32 = 0xf597_a6cf;
/// The polynomial of IEEE 802.3, its bits in reverse.
const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(INITIAL_CRC, |crc, byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize])
}
