// The weights of one model, bound to a checkpoint: every tensor's name, dtype and exact shape is checked here, for the
// Hugging Face and the original layout. Immutable after load.
//
// Numbers: BF16 and MXFP4 stay as they are in the file, or as tiles of the same bits. A matrix or bias stored as F16 or F32
// is split into up to three bf16 parts whose sum is the stored value (parts that are all zero are dropped), so that no mode
// loses precision to the file's dtype. Norm weights and sinks become f32.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "config.h"
#include "dense.h"
#include "ops/mxfp4_tiles.h"
#include "ops/ops.h"
#include "resident.h"
#include "status.h"
#include "thread_pool.h"
#include "weight_cache.h"

namespace switchyard {

// What the ops multiply: bf16, or MXFP4 when `blocks` is set, or int8 when `i8` is.
struct Matrix {
  size_t rows = 0, n_in = 0;
  const uint16_t* bf16 = nullptr;   // (rows, n_in)
  const uint8_t* blocks = nullptr;  // (rows, n_in / 32, 16), or tiles of 16 rows: ops.h
  const uint8_t* i8 = nullptr;      // tiles of 16 rows
  const uint8_t* scales = nullptr;  // (rows, n_in / 32), or by tile; of int8 bf16
  const uint16_t* bias = nullptr;   // (rows), or nullptr
  bool tiled = false;

  size_t stored_rows() const { return tiled ? mxfp4_tile_rows(rows) * kMxfp4TileRows : rows; }
  size_t bytes() const {
    const size_t row = blocks ? n_in / 32 * 17 : i8 ? n_in / 32 * 34 : bf16 ? n_in * 2 : 0;
    return row * stored_rows() + (bias ? rows * 2 : 0);
  }
};

// How weights lie in memory: all of them, in huge pages, which spare TLB misses.
enum class Residence {
  exact,  // as in the file; where bf16 is too narrow for it, in parts
  rows,   // the same, but Q8_0 is rounded to bf16
  tiled,  // MXFP4 as tiles
  int8    // the same, and attention's matrices as tiles of int8
};

// y = sum of parts[i] x; more than one part only for matrices stored wider than bf16.
struct Linear {
  Matrix parts[kMaxParts];
  size_t count = 1;

  size_t rows() const { return parts[0].rows; }
  size_t n_in() const { return parts[0].n_in; }
  size_t bytes() const;
};

struct LayerWeights {
  std::vector<float> attn_norm;  // (hidden_size)
  Linear q, k, v;                // (q_size | kv_size | kv_size, hidden_size)
  Linear o;                      // (hidden_size, q_size)
  std::vector<float> sinks;      // (num_attention_heads)
  std::vector<float> mlp_norm;   // (hidden_size)
  Linear router;                 // (num_experts, hidden_size)
  std::vector<Linear> gate_up;  // num_experts of (2 * intermediate_size, hidden_size); row 2i is gate i, 2i + 1 is up i
  std::vector<Linear> down;     // num_experts of (hidden_size, intermediate_size)
};

class Weights {
 public:
  using Progress = std::function<void(double fraction)>;

  // Reads a GGUF file, or `path`/config.json and the checkpoint beside it. `cache`, where there is one, is looked at before anything is
  // packed. `progress` may be empty. io_error: a file could not be read, or was changed meanwhile.
  static Status load(const std::string& path, Residence residence, WeightCache* cache, ThreadPool* pool,
                     const Progress& progress, std::unique_ptr<Weights>* out);

  const ModelConfig& config() const { return config_; }
  const Linear& embedding() const { return embedding_; }      // (vocab_size, hidden_size)
  const Linear& unembedding() const { return unembedding_; }  // (vocab_size, hidden_size)
  const std::vector<float>& norm() const { return norm_; }    // (hidden_size)
  const LayerWeights& layer(size_t index) const { return layers_[index]; }
  bool has_mxfp4_experts() const { return layers_[0].gate_up[0].parts[0].blocks != nullptr; }
  int64_t bytes() const { return bytes_; }

  MemoryImage packed() const { return {huge_.data(), packed_bytes_}; }  // for a cache

  // Every matrix that decoding may read: all but the embedding, of which it takes one row.
  void for_each_decode_buffer(const std::function<void(const void* data, size_t bytes)>& visit) const;

 private:
  friend class WeightBinder;
  void for_each_decode_matrix(const std::function<void(Matrix* matrix)>& visit);
  Weights() = default;

  ModelConfig config_;
  Linear embedding_, unembedding_;
  std::vector<float> norm_;
  std::vector<LayerWeights> layers_;  // (num_hidden_layers)
  int64_t bytes_ = 0;
  OwnedMemory owned_;        // what was converted
  HugeMemory huge_;          // all that decoding reads, then the embedding
  size_t packed_bytes_ = 0;  // of the former
};

}  // namespace switchyard
