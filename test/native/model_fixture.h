// Golden models for the native tests: where they lie, and just enough .npy and JSON to read what the oracle said.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "json.h"

namespace switchyard {

inline std::string golden_folder() { return std::string(SWITCHYARD_SOURCE_DIR) + "/test/fixtures/golden/model/"; }

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary).write(text.data(), std::streamsize(text.size()));
}

// float32 data of a .npy 1.0 file, C order; the shape is the caller's to know.
inline std::vector<float> read_npy(const std::string& path) {
  const std::string bytes = read_text(path);
  if (bytes.size() < 10) return {};
  const size_t begin = 10 + uint8_t(bytes[8]) + 256 * uint8_t(bytes[9]);
  std::vector<float> data((bytes.size() - begin) / sizeof(float));
  std::memcpy(data.data(), bytes.data() + begin, data.size() * sizeof(float));
  return data;
}

struct GoldenPrompt {
  std::vector<int32_t> ids;
  std::vector<float> logits;    // (ids, vocab_size)
  std::vector<int32_t> greedy;  // what greedy decoding gives next
};

inline std::vector<int32_t> read_ids(const json::Value& list) {
  std::vector<int32_t> ids;
  for (const json::Value& item : list.items()) CHECK_OK(item.get(&ids.emplace_back()));
  return ids;
}

inline std::vector<GoldenPrompt> read_golden(const std::string& name) {
  std::unique_ptr<json::Document> document;
  std::vector<GoldenPrompt> prompts;
  if (!CHECK_OK(json::Document::load(golden_folder() + name + "/golden.json", 1 << 24, &document))) return prompts;
  for (const json::Value& item : document->root().find("prompts").items()) {
    std::string file;
    CHECK_OK(item.get("logits", &file));
    prompts.push_back(
        {read_ids(item.find("ids")), read_npy(golden_folder() + name + "/" + file), read_ids(item.find("greedy"))});
  }
  CHECK(!prompts.empty());
  return prompts;
}

}  // namespace switchyard
