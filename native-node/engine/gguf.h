// The header of a GGUF file: its keys, and where its tensors lie. Everything in it is hostile until checked here:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// Knows keys, types, shapes and places; what they mean is gguf_config.h's, tokenizer_gguf.cpp's and weight_binder.h's business.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "file.h"
#include "status.h"

namespace switchyard {

// A file, or in a test a piece of memory.
struct GgufSource {
  std::string name;  // what messages call it
  uint64_t size = 0;
  std::function<Status(uint64_t offset, size_t bytes, void* to)> read;
};

// While the file is open.
GgufSource gguf_source(const File& file);

// How ggml stores elements.
struct GgmlType {
  uint32_t number;
  const char* name;
  uint32_t elements, bytes;  // of a block
};

class Gguf {
 public:
  struct Tensor {
    std::string name;
    const GgmlType* type;
    std::vector<uint64_t> shape;  // slowest first, as everywhere in this program; ggml has it the other way round
    uint64_t offset, bytes;       // in the file

    std::string describe() const;  // "Q8_0 [64, 96]"
  };

  // Versions 2 and 3, little-endian. invalid_file where anything in the header does not fit, unsupported where it is of a kind
  // that is not read; what the source says of a read.
  static Status read(const GgufSource& source, std::unique_ptr<Gguf>* out);

  const std::string& name() const { return name_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }  // by name

  // Values by key. Where the key is missing nothing is touched and `found`, if given, is false; without `found` that is an error.
  // All are invalid_file with the key: another type, or outside of [low, high].
  Status get_integer(std::string_view key, int64_t low, int64_t high, int64_t* out, bool* found = nullptr) const;
  Status get_number(std::string_view key, double low, double high, double* out, bool* found = nullptr) const;
  Status get_string(std::string_view key, std::string_view* out, bool* found = nullptr) const;
  Status get_strings(std::string_view key, std::vector<std::string_view>* out, bool* found = nullptr) const;
  // Of an array of integers or booleans; a single one is an array of one.
  Status get_integers(std::string_view key, int64_t low, int64_t high, std::vector<int64_t>* out,
                      bool* found = nullptr) const;

  bool is_array(std::string_view key) const;
  Status error(std::string_view key, const std::string& what) const;        // invalid_file: "NAME: KEY: WHAT"
  Status unsupported(std::string_view key, const std::string& what) const;  // the same, as unsupported

  // What may stand in a message: no control characters, no end of lines, not long.
  static std::string quoted(std::string_view text);

 private:
  enum class Type : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
  struct Value {
    Type type;  // of an array: that of its items
    bool is_array;
    uint64_t count;  // of items
    size_t at;       // in text_
  };
  friend class GgufParser;
  Gguf() = default;

  static size_t bytes_of(Type type);  // 0: of a string
  const Value* find(std::string_view key, bool* found, Status* status) const;
  bool integer_at(const Value& value, uint64_t index, int64_t* out) const;  // false: it is none, or beyond 63 bits
  std::string_view string_at(size_t at) const;

  std::string name_, text_;
  std::unordered_map<std::string, Value> values_;
  std::vector<Tensor> tensors_;
};

}  // namespace switchyard
