// GGUF files for the native tests, byte by byte, right ones and wrong ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

template <typename T>
std::string little_endian(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string gguf_string(const std::string& text) { return little_endian(uint64_t(text.size())) + text; }

class GgufBuilder {
 public:
  struct Tensor {
    std::string name;
    uint32_t type;
    std::vector<uint64_t> shape;  // slowest first
    std::string data;
    int64_t shift = 0;  // added to its offset
  };

  struct Key {
    std::string name, value;  // the value with its type
  };

  uint32_t version = 3;
  uint64_t alignment = 32;
  int64_t more_tensors = 0, more_keys = 0;  // than there are
  std::vector<Key> keys;
  std::vector<Tensor> tensors;

  GgufBuilder& key(const std::string& name, uint32_t type, const std::string& value) {
    keys.push_back({name, little_endian(type) + value});
    return *this;
  }
  GgufBuilder& u32(const std::string& name, uint32_t value) { return key(name, 4, little_endian(value)); }
  GgufBuilder& f32(const std::string& name, float value) { return key(name, 6, little_endian(value)); }
  GgufBuilder& text(const std::string& name, const std::string& value) { return key(name, 8, gguf_string(value)); }
  GgufBuilder& strings(const std::string& name, const std::vector<std::string>& values) {
    std::string bytes = little_endian(uint32_t(8)) + little_endian(uint64_t(values.size()));
    for (const std::string& value : values) bytes += gguf_string(value);
    return key(name, 9, bytes);
  }
  GgufBuilder& ints(const std::string& name, const std::vector<int32_t>& values) {
    std::string bytes = little_endian(uint32_t(5)) + little_endian(uint64_t(values.size()));
    for (const int32_t value : values) bytes += little_endian(value);
    return key(name, 9, bytes);
  }
  GgufBuilder& remove(const std::string& name) {
    std::erase_if(keys, [&](const Key& key) { return key.name == name; });
    return *this;
  }
  // The smallest tokenizer there can be, of 256 bytes, and more tokens.
  GgufBuilder& tokenizer(const std::vector<std::pair<std::string, int32_t>>& more, const std::vector<std::string>& merges) {
    std::vector<std::string> tokens;
    std::vector<int32_t> types;
    for (int byte = 0, next = 256; byte < 256; ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
      const int point = printable ? byte : next++;
      tokens.push_back(point < 128 ? std::string(1, char(point)) : std::string{char(0xC0 | point >> 6), char(0x80 | (point & 63))});
      types.push_back(1);
    }
    for (const auto& [token, type] : more) tokens.push_back(token), types.push_back(type);
    text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-4o").strings("tokenizer.ggml.tokens", tokens);
    return ints("tokenizer.ggml.token_type", types).strings("tokenizer.ggml.merges", merges);
  }
  GgufBuilder& tensor(Tensor tensor) {
    tensors.push_back(std::move(tensor));
    return *this;
  }

  std::string build() const {
    std::string header = "GGUF" + little_endian(version) + little_endian(uint64_t(tensors.size() + uint64_t(more_tensors))) +
                         little_endian(uint64_t(keys.size() + uint64_t(more_keys)));
    for (const Key& key : keys) header += gguf_string(key.name) + key.value;
    std::string data;
    for (const Tensor& tensor : tensors) {
      header += gguf_string(tensor.name) + little_endian(uint32_t(tensor.shape.size()));
      for (size_t i = tensor.shape.size(); i > 0; --i) header += little_endian(tensor.shape[i - 1]);
      header += little_endian(tensor.type) + little_endian(uint64_t(data.size()) + uint64_t(tensor.shift));
      data += tensor.data;
      pad(&data);
    }
    pad(&header);
    return header + data;
  }

 private:
  void pad(std::string* bytes) const { bytes->resize((bytes->size() + alignment - 1) / alignment * alignment); }
};

}  // namespace switchyard
