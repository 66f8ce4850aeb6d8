// Spares a load the packing: where the file of a model's packed weights lies, whether it serves, and what became of it. A cache
// that cannot be read or written costs the load its gain and nothing else; report() says why.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "thread_pool.h"
#include "weight_file.h"

namespace switchyard {

// Lives only while a model loads.
class WeightCache {
 public:
  using Progress = WeightFile::Progress;
  // Of the time of a load that packs and writes; the rest is the disk's.
  static constexpr double kPackingShare = 0.1;

  // `layout` tells files of one model apart. Beside the model a file has a plain name, in another folder one with the model's.
  WeightCache(const std::string& folder, const std::string& model_folder, const std::string& layout);

  // Fills `to` with weights that `key` stands for. False: there are none, or not such; `to` holds anything.
  bool read_weights(const WeightFileKey& key, size_t bytes, ThreadPool* pool, const Progress& progress, uint8_t* to);
  // The same for the copy of the head, after the weights.
  bool read_head(size_t bytes, ThreadPool* pool, uint8_t* to);
  // What was read turned out not to be what packing makes.
  void reject();

  // Writes what is not in the file yet.
  void save(MemoryImage weights, MemoryImage head, const Progress& progress);

  // For the log: "read from PATH", "written to PATH (there was none)".
  std::string report() const;

 private:
  std::string path_;
  WeightFileKey key_;                 // set by read_weights
  std::unique_ptr<WeightFile> file_;  // nullptr: it does not serve
  std::string reason_;                // why a file does not serve
  std::string outcome_;
  bool complete_ = false;  // all that was asked for came from the file
  bool stale_ = false;     // there is a file that nobody can use
};

}  // namespace switchyard
