// A file of memory images with a checksum for each piece, written whole or not at all, and read without trust.
// Knows bytes; what they are is weight_cache.h's business.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "file.h"
#include "status.h"
#include "thread_pool.h"

namespace switchyard {

// What the images of a file were made of, and how. Files with another key are not read.
struct WeightFileKey {
  uint64_t source = 0;  // the checkpoint
  uint64_t plan = 0;    // what lies where
};

struct MemoryImage {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

class WeightFile {
 public:
  static constexpr size_t kImages = 2;
  using Progress = std::function<void(double fraction)>;

  // not_found: there is none. invalid_file: it is not to be used, the message says why. io_error.
  static Status open(const std::string& path, const WeightFileKey& key, std::unique_ptr<WeightFile>* out);
  // Puts a file in the place of whatever was there; empty images are left out. Any error leaves that place as it was; io_error.
  static Status write(const std::string& path, const WeightFileKey& key, const std::array<MemoryImage, kImages>& images,
                      const Progress& progress);

  size_t bytes(size_t image) const { return bytes_[image]; }
  // All of an image. After invalid_file (a checksum is wrong) or io_error the memory holds anything.
  Status read(size_t image, ThreadPool* pool, const Progress& progress, uint8_t* to) const;

 private:
  explicit WeightFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Status read_header(const WeightFileKey& key);
  bool read_piece(uint64_t offset, size_t bytes, const uint64_t* sums, uint8_t* to, FirstReadError* failure) const;

  std::unique_ptr<File> file_;
  std::array<size_t, kImages> bytes_{};
  std::vector<uint64_t> sums_;  // of all images' blocks
};

}  // namespace switchyard
