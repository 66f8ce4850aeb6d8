#include "stored_rows.h"

#include <cstring>

#include "ops/ggml_blocks.h"
#include "ops/ops.h"

namespace switchyard {
namespace {

void convert_row(const StoredRows& stored, const uint8_t* row, uint8_t* values, uint8_t* scales) {
  const size_t blocks = stored.n_in / kMxfp4Block;
  switch (stored.dtype) {
    case Dtype::q8_0: ggml_q8_to_bf16(row, blocks, reinterpret_cast<uint16_t*>(values)); return;
    case Dtype::mxfp4: unpack_ggml_mxfp4(row, blocks, NibbleOrder::halves, values, scales); return;
    case Dtype::mxfp4_pairs: unpack_ggml_mxfp4(row, blocks, NibbleOrder::pairs, values, scales); return;
    default: std::memcpy(values, row, stored.row_bytes());
  }
}

}  // namespace

size_t StoredRows::file_row_bytes() const {
  const size_t blocks = n_in / kMxfp4Block;
  if (dtype == Dtype::q8_0) return blocks * kGgmlQ8Bytes;
  return dtype == Dtype::mxfp4 || dtype == Dtype::mxfp4_pairs ? blocks * kGgmlMxfp4Bytes : row_bytes();
}

size_t StoredRows::row_bytes() const { return is_mxfp4() ? n_in / kMxfp4Block * kMxfp4BlockBytes : n_in * sizeof(uint16_t); }

size_t StoredRows::scale_bytes() const { return is_mxfp4() ? n_in / kMxfp4Block : 0; }

Place StoredRows::row_place(size_t row) const {
  if (!alternates()) return from.after(row * file_row_bytes());
  return (row % 2 ? odd : from).after(row / 2 * file_row_bytes());
}

Place StoredRows::scale_place(size_t row, size_t block) const {
  return dtype == Dtype::u8 ? scales.after(row * scale_bytes() + block) : row_place(row).after(block * kGgmlMxfp4Bytes);
}

ReadError read_raw_rows(const Checkpoint& files, const StoredRows& stored, size_t first, size_t count, uint8_t* buffer) {
  const size_t bytes = stored.file_row_bytes();
  if (!stored.alternates()) return files.read(stored.row_place(first), count * bytes, buffer);
  const size_t evens = (first + count + 1) / 2 - (first + 1) / 2;
  if (const ReadError error = files.read(stored.row_place(first + first % 2), evens * bytes, buffer)) return error;
  return files.read(stored.row_place(first + 1 - first % 2), (count - evens) * bytes, buffer + evens * bytes);
}

ReadError read_rows(const Checkpoint& files, const StoredRows& stored, size_t first, size_t count, uint8_t* buffer,
                    uint8_t* values, uint8_t* scales) {
  if (const ReadError error = read_raw_rows(files, stored, first, count, stored.is_plain() ? values : buffer)) return error;
  if (stored.dtype == Dtype::u8) {
    if (const ReadError error = files.read(stored.scale_place(first, 0), count * stored.scale_bytes(), scales)) return error;
  }
  if (stored.is_plain()) return {};
  const size_t evens = (first + count + 1) / 2 - (first + 1) / 2;
  for (size_t i = 0; i < count; ++i) {
    const size_t row = first + i, among = row / 2 - (row % 2 ? first / 2 : (first + 1) / 2);
    const size_t at = !stored.alternates() ? i : row % 2 ? evens + among : among;
    convert_row(stored, buffer + at * stored.file_row_bytes(), values + i * stored.row_bytes(), scales + i * stored.scale_bytes());
  }
  return {};
}

}  // namespace switchyard
