// safetensors files mapped into memory: one file or a sharded index. The only parser of weight files, so everything in
// them is hostile until checked here: https://github.com/huggingface/safetensors#format
// Knows names, types, shapes and bytes; what a tensor means is weight_binder.h's business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "status.h"

namespace switchyard {

enum class Dtype { bf16, f16, f32, u8, other };

const char* dtype_name(Dtype dtype);

struct TensorView {
  Dtype dtype = Dtype::other;
  std::vector<uint64_t> shape;
  const uint8_t* data = nullptr;  // inside the map, which may not be aligned to the element's size
  uint64_t bytes = 0;

  std::string describe() const;  // "BF16 [64, 96]"
};

// A file mapped read-only. Empty files have no data.
class MappedFile {
 public:
  static Status open(const std::string& path, std::unique_ptr<MappedFile>* out);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  bool holds(const uint8_t* at) const { return at >= data_ && at < data_ + size_; }
  // Nanoseconds of the last write, as the file system tells now; 0 where it does not.
  int64_t modified() const;

  // Copies [from, from + bytes) of the map out of the file. An errno where the disk fails or the file has become shorter, which
  // the map itself would answer with SIGBUS; else 0.
  int read(const uint8_t* from, size_t bytes, void* to) const;

 private:
  MappedFile(int fd, const uint8_t* data, uint64_t size) : fd_(fd), data_(data), size_(size) {}
  int fd_;
  const uint8_t* data_;
  uint64_t size_;
};

using TensorMap = std::unordered_map<std::string, TensorView>;

// The tensors of one safetensors image; `name` is what messages call it. invalid_file when anything in the header does
// not fit: the same rules as the reference reader (header <= 100 MB, tensors side by side, the file covered exactly).
Status parse_safetensors(const uint8_t* data, uint64_t size, const std::string& name, TensorMap* out);

class Checkpoint {
 public:
  // `folder` holds model.safetensors, or model.safetensors.index.json and the files it names.
  static Status open(const std::string& folder, std::unique_ptr<Checkpoint>* out);

  const TensorView* find(const std::string& name) const;  // nullptr when absent
  // Bytes of a tensor, by a read that may fail. Any thread may call it.
  int read(const uint8_t* from, size_t bytes, void* to) const;
  size_t tensor_count() const { return tensors_.size(); }
  // Of the names, types, shapes and places of all tensors and of the files' sizes and times: another number where a file has been
  // replaced or written to, but not where its bytes were changed and its time set back.
  uint64_t identity() const;
  // Where a mapped byte lies: the same number in every process that opens the same files. 0: it is not mapped.
  uint64_t place_of(const void* at) const;

 private:
  Checkpoint() = default;
  Status open_file(const std::string& path, TensorMap* tensors);
  Status open_single(const std::string& path);
  Status open_sharded(const std::string& folder, const std::string& index_path);

  std::vector<std::unique_ptr<MappedFile>> files_;
  TensorMap tensors_;
};

}  // namespace switchyard
