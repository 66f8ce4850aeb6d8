// The rows of a matrix as the files of a checkpoint have them, read as what the ops multiply.
#pragma once

#include <cstddef>
#include <cstdint>

#include "checkpoint.h"

namespace switchyard {

struct StoredRows {
  Dtype dtype = Dtype::bf16;  // or q8_0, which becomes bf16; u8 with scales, mxfp4 and mxfp4_pairs, which become blocks and scales
  Place from, odd;            // odd: the rows 1, 3, 5 … where they lie elsewhere, one after the other; `from` has the others
  Place scales;               // of u8
  size_t rows = 0, n_in = 0;

  bool is_mxfp4() const { return dtype == Dtype::u8 || dtype == Dtype::mxfp4 || dtype == Dtype::mxfp4_pairs; }
  bool alternates() const { return odd.file != 0; }
  // Whether a read alone brings them.
  bool is_plain() const { return (dtype == Dtype::bf16 || dtype == Dtype::u8) && !alternates(); }
  size_t file_row_bytes() const;   // without those of `scales`
  size_t row_bytes() const;        // in memory: bf16, or the blocks of MXFP4
  size_t scale_bytes() const;      // a row's; 0: bf16
  Place row_place(size_t row) const;
  Place scale_place(size_t row, size_t block) const;  // of MXFP4
};

// The rows [first, first + count) to `values` and, of MXFP4, `scales`. Where they are not plain, `buffer` has room for them as the
// file has them.
ReadError read_rows(const Checkpoint& files, const StoredRows& stored, size_t first, size_t count, uint8_t* buffer,
                    uint8_t* values, uint8_t* scales);

// The same without a change, to `buffer`; those of odd numbers after the others.
ReadError read_raw_rows(const Checkpoint& files, const StoredRows& stored, size_t first, size_t count, uint8_t* buffer);

}  // namespace switchyard
