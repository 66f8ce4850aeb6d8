// A copy of a golden model's folder that a test may break.
#pragma once

#include <filesystem>
#include <functional>
#include <random>
#include <string>

#include "model_fixture.h"

namespace switchyard {

class ModelFolder {
 public:
  explicit ModelFolder(const std::string& from = "tiny-a/hf")
      : path_(std::filesystem::temp_directory_path() / ("switchyard-model-" + std::to_string(std::random_device()()))) {
    std::filesystem::copy(golden_folder() + from, path_);
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;

  std::string path(const std::string& name = "") const { return (path_ / name).string(); }
  void edit(const std::string& name, const std::function<void(std::string*)>& change) const {
    std::string text = read_text(path(name));
    change(&text);
    write_text(path(name), text);
  }
  // Replaces `from` by `to` of the same length or, in config.json, of any.
  void replace(const std::string& name, const std::string& from, const std::string& to) const {
    edit(name, [&](std::string* text) {
      const size_t at = text->find(from);
      if (CHECK(at != std::string::npos)) text->replace(at, from.size(), to);
    });
  }

 private:
  std::filesystem::path path_;
};

}  // namespace switchyard
