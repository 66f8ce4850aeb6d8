// The files of a checkpoint: safetensors, one or several with an index (https://github.com/huggingface/safetensors#format), or
// GGUF (gguf.h). Everything in them is hostile until checked here.
// Knows names, types, shapes and places; what a tensor means is weight_binder.h's business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "file.h"
#include "status.h"

namespace switchyard {

// mxfp4: ggml's blocks of scale and elements; mxfp4_pairs: the same in Ollama's order of nibbles.
enum class Dtype { bf16, f16, f32, u8, q8_0, mxfp4, mxfp4_pairs, other };

const char* dtype_name(Dtype dtype);

// Where bytes lie in the files of a checkpoint.
struct Place {
  uint32_t file = 0;  // counted from 1; 0: nowhere
  uint64_t offset = 0;

  Place after(uint64_t bytes) const { return {file, offset + bytes}; }
  // The same in every process that opens the same files, and ordered as they are. Checkpoint::add_file() keeps both parts in theirs.
  static constexpr int kOffsetBits = 48;
  uint64_t number() const { return uint64_t(file) << kOffsetBits | offset; }
};

struct StoredTensor {
  Dtype dtype = Dtype::other;
  std::vector<uint64_t> shape;
  Place place;
  uint64_t bytes = 0;

  std::string describe() const;  // "BF16 [64, 96]"
};

using TensorMap = std::unordered_map<std::string, StoredTensor>;

// The tensors of a safetensors file, which is number `number` of a checkpoint. invalid_file when anything in the header does not
// fit: the same rules as the reference reader (header <= 100 MB, tensors side by side, the file covered exactly); io_error.
Status read_header(const File& file, uint32_t number, TensorMap* out);

// Whose names and order the tensors have.
enum class Layout {
  hugging_face,
  original,   // of the first release
  llama_cpp,  // GGUF
  ollama      // the same, by Ollama's own converter; names that differ are given as llama.cpp's
};

class Gguf;

class Checkpoint {
 public:
  // `folder` holds model.safetensors, or model.safetensors.index.json and the files it names.
  static Status open(const std::string& folder, std::unique_ptr<Checkpoint>* out);
  // A GGUF file, or the first of its parts; `header` has its keys.
  static Status open_gguf(const std::string& path, std::unique_ptr<Checkpoint>* out, std::unique_ptr<Gguf>* header);

  const StoredTensor* find(const std::string& name) const;  // nullptr when absent
  // Bytes of a tensor. Any thread may call it.
  ReadError read(Place from, size_t bytes, void* to) const noexcept {
    return files_[from.file - 1]->read(from.offset, bytes, to);
  }
  Layout layout() const { return layout_; }
  size_t tensor_count() const { return tensors_.size(); }
  // Any tensor whose name is not among these, nullptr where there is none.
  const std::string* find_other(const std::unordered_set<std::string>& names) const;
  // Of the names, types, shapes and places of all tensors and of the files' sizes and times: another number where a file has been
  // replaced or written to, but not where its bytes were changed and its time set back.
  uint64_t identity() const;
  // io_error where a file was written to since it was opened: what was read may be half of one and half of another.
  Status check_unchanged() const;

 private:
  Checkpoint() = default;
  Status add_file(const std::string& path);
  Status open_file(const std::string& path, TensorMap* tensors);
  Status open_single(const std::string& path);
  Status open_sharded(const std::string& folder, const std::string& index_path);

  Status open_gguf_part(const std::string& path, std::unique_ptr<Gguf>* out);
  Status add_gguf_tensors(const Gguf& file);

  std::vector<std::unique_ptr<File>> files_;
  TensorMap tensors_;
  Layout layout_ = Layout::hugging_face;
};

}  // namespace switchyard
