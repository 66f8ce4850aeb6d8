#include "weight_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "checksum.h"

namespace switchyard {
namespace {

constexpr size_t kMostName = 100;  // bytes of a model's name in a file's

std::string canonical(const std::string& path) {
  std::error_code error;
  const std::filesystem::path found = std::filesystem::canonical(path, error);
  return error ? path : found.string();
}

// "gpt-oss-20b-0123456789abcdef-": models of one name must not take turns in one file.
std::string prefix_of(const std::string& model) {
  std::string name = std::filesystem::path(model).filename().string().substr(0, kMostName);
  char digits[20];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(checksum(model.data(), model.size())));
  return name + "-" + digits + "-";
}

}  // namespace

WeightCache::WeightCache(const std::string& folder, const std::string& model_folder, const std::string& layout) {
  const std::string model = canonical(model_folder);
  mkdir(folder.c_str(), 0777);  // where it fails, writing will say so
  path_ = folder + "/" + (canonical(folder) == model ? "switchyard-" : prefix_of(model)) + layout + ".weights";
}

bool WeightCache::read_weights(const WeightFileKey& key, size_t bytes, ThreadPool* pool, const Progress& progress,
                               uint8_t* to) {
  key_ = key;
  Status status = WeightFile::open(path_, key, &file_);
  if (status.ok() && file_->bytes(0) != bytes)  // cannot be: the plan would be another
    status = Status::error(Code::invalid_file, "the old one was of another layout");
  if (status.ok()) status = file_->read(0, pool, progress, to);
  complete_ = status.ok();
  if (complete_) return true;
  file_.reset();
  stale_ = status.code == Code::invalid_file;
  reason_ = status.message;
  return false;
}

bool WeightCache::read_head(size_t bytes, ThreadPool* pool, uint8_t* to) {
  complete_ = false;
  if (!file_) return false;
  if (file_->bytes(1) != bytes) {
    reason_ = "the old one had no copy of the head";
    return false;
  }
  const Status status = file_->read(1, pool, {}, to);
  complete_ = status.ok();
  if (complete_) return true;
  stale_ = status.code == Code::invalid_file;
  reason_ = status.message;
  return false;
}

void WeightCache::reject() {
  complete_ = false;
  stale_ = true;
  reason_ = "the old one was not what packing makes";
  file_.reset();
}

void WeightCache::save(MemoryImage weights, MemoryImage head, const Progress& progress) {
  if (complete_) {
    outcome_ = "read from " + path_;
    return;
  }
  file_.reset();
  if (stale_) unlink(path_.c_str());  // the disk may have no room for two
  const Progress writing = [&](double fraction) { progress(kPackingShare + (1 - kPackingShare) * fraction); };
  const Status status = WeightFile::write(path_, key_, {weights, head}, progress ? writing : progress);
  outcome_ = status.ok() ? "written to " + path_ + " (" + reason_ + ")"
                         : "not written to " + path_ + ": " + status.message + " (" + reason_ + ")";
}

std::string WeightCache::report() const { return outcome_; }

}  // namespace switchyard
