// A file that is read and never mapped: whatever is done to it while it is open, a read of it ends in an error, where a map would
// end the process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "status.h"

namespace switchyard {

class File;

// What was wrong with a read. Plain data, so that a thread of a loop can keep it without taking memory.
struct ReadError {
  const File* file = nullptr;  // nullptr: nothing was wrong
  int error = 0;               // an errno; 0: the file ended
  uint64_t at = 0;             // where in the file

  explicit operator bool() const { return file != nullptr; }
};

class File {
 public:
  // A regular file, also where `path` is a link to one. not_found, or io_error; a pipe is not waited for.
  static Status open(const std::string& path, std::unique_ptr<File>* out);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  // As they were when it was opened. The time is that of the last write, in nanoseconds.
  uint64_t size() const { return size_; }
  int64_t modified() const { return modified_; }
  // Whether it was written to or cut since.
  bool has_changed() const;

  // All of [offset, offset + bytes), or an error. Any thread may call it.
  ReadError read(uint64_t offset, size_t bytes, void* to) const noexcept;

 private:
  File(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status look();

  std::string path_;
  int fd_;
  uint64_t size_ = 0;
  int64_t modified_ = 0;
};

// io_error with the file and the place. While the file is still open.
Status read_failed(const ReadError& error);

// What the first of a loop's threads saw that could not read; asked when the loop is over.
class FirstReadError {
 public:
  // Returns whether there is an error.
  bool keep(const ReadError& error) noexcept {
    if (error && !is_set_.exchange(true)) first_ = error;
    return bool(error);
  }
  bool is_set() const { return is_set_; }
  Status status() const { return is_set_ ? read_failed(first_) : Status(); }

 private:
  std::atomic<bool> is_set_{false};
  ReadError first_;
};

}  // namespace switchyard
