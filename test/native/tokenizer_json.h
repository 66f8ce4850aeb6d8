// Writes Hugging Face tokenizer.json texts for tests, in the form gpt-oss has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

inline const std::string kO200kRegexJson =
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
    "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
    "[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+";

// Bytes in GPT-2's alphabet, as the inside of a JSON string.
inline std::string spell(std::string_view bytes) {
  static const std::vector<std::string> alphabet = [] {
    std::vector<std::string> spelled(256);
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
      const int point = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173) ? byte : next++;
      if (point == '"' || point == '\\') spelled[byte] = '\\';
      if (point < 0x80) {
        spelled[byte] += static_cast<char>(point);
      } else {
        spelled[byte] += static_cast<char>(0xC0 | point >> 6);
        spelled[byte] += static_cast<char>(0x80 | (point & 0x3F));
      }
    }
    return spelled;
  }();
  std::string text;
  for (const char byte : bytes) text += alphabet[static_cast<unsigned char>(byte)];
  return text;
}

struct TokenizerJson {
  std::vector<std::pair<std::string, int32_t>> vocab;            // bytes, id
  std::vector<std::pair<std::string, std::string>> merges;       // first ones first
  std::vector<std::pair<std::string, int32_t>> specials;
  bool ignore_merges = true;
  bool merges_as_pairs = true;

  // Every way to make a token out of two others, in the order Hugging Face's converter writes them.
  void merges_from_ranks() {
    const std::map<std::string_view, int32_t> ranks(vocab.begin(), vocab.end());
    auto tokens = vocab;
    std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const auto& [token, rank] : tokens) {
      std::vector<std::pair<std::pair<int32_t, int32_t>, size_t>> cuts;
      for (size_t i = 1; i < token.size(); i++) {
        const auto left = ranks.find(std::string_view(token).substr(0, i));
        const auto right = ranks.find(std::string_view(token).substr(i));
        if (left != ranks.end() && right != ranks.end()) cuts.push_back({{left->second, right->second}, i});
      }
      std::sort(cuts.begin(), cuts.end());
      for (const auto& [ids, i] : cuts) merges.emplace_back(token.substr(0, i), token.substr(i));
    }
  }

  std::string text() const {
    std::string json = "{\n\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n\"added_tokens\": [";
    const char* comma = "\n";
    for (const auto& [name, id] : specials) {
      json += comma + std::string("{\"id\": ") + std::to_string(id) + ", \"content\": \"" + name +
              "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}";
      comma = ",\n";
    }
    json += "],\n\"normalizer\": null,\n\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n"
            "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" + kO200kRegexJson +
            "\"}, \"behavior\": \"Isolated\", \"invert\": false},\n"
            "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]},\n"
            "\"post_processor\": {\"type\": \"ByteLevel\", \"trim_offsets\": false}, \"decoder\": {\"type\": \"ByteLevel\"},\n"
            "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "
            "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": ";
    json += ignore_merges ? "true,\n\"vocab\": {" : "false,\n\"vocab\": {";
    comma = "\n";
    for (const auto& [bytes, id] : vocab) {
      json += comma + std::string("\"") + spell(bytes) + "\": " + std::to_string(id);
      comma = ",\n";
    }
    json += "},\n\"merges\": [";
    comma = "\n";
    for (const auto& [left, right] : merges) {
      json += comma + (merges_as_pairs ? "[\"" + spell(left) + "\", \"" + spell(right) + "\"]"
                                       : "\"" + spell(left) + " " + spell(right) + "\"");
      comma = ",\n";
    }
    return json + "]}\n}\n";
  }
};

// A file that goes away with its owner.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name) {
    path_ = (std::filesystem::temp_directory_path() / (std::to_string(std::random_device()()) + "-" + name)).string();
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  void write(std::string_view text) const {
    std::ofstream(path_, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
  }

 private:
  std::string path_;
};
