// A folder of a test's own, which goes away with it.
#pragma once

#include <filesystem>
#include <random>
#include <string>

#include "model_fixture.h"

namespace switchyard {

class ScratchFolder {
 public:
  ScratchFolder() : path_(std::filesystem::temp_directory_path() / ("switchyard-test-" + std::to_string(std::random_device()()))) {
    std::filesystem::create_directory(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string path(const std::string& name = "") const { return (path_ / name).string(); }
  // Folders on the way are made.
  std::string write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    write_text(path(name), bytes);
    return path(name);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace switchyard
