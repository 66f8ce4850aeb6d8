// What fills a Weights from a checkpoint, in two parts: weight_binder.cpp finds every tensor by its name, checks it and reads what
// is small or must be converted; weights_residence.cpp brings the rest to where it shall live. Nothing outside of Weights::load
// uses it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "weights.h"

namespace switchyard {

// Lives only while a Weights loads.
class WeightBinder {
 public:
  WeightBinder(Weights* weights, const Checkpoint& files, ThreadPool* pool)
      : weights_(*weights), files_(files), config_(weights->config_), pool_(*pool) {}

  Status bind();
  Status make_resident(Residence residence, WeightCache* cache, const Weights::Progress& progress);

 private:
  // The names of one tensor in the two layouts.
  struct Name {
    const char* hf;
    const char* original;
  };
  // Some rows of a tensor.
  struct Slice {
    size_t rows;
    Linear* linear;
  };
  // Where a matrix is that is used as the file has it: bf16, or MXFP4 where it has scales.
  struct Stored {
    Place values, scales;
  };

  std::string layer_name(size_t layer, const Name& name) const {
    return original_ ? "block." + std::to_string(layer) + "." + name.original
                     : "model.layers." + std::to_string(layer) + "." + name.hf;
  }
  std::string top_name(const Name& name) const { return original_ ? name.original : name.hf; }

  Status find(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out);
  Status find_floats(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out);
  Status find_bytes(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out);
  Status read_vector(const std::string& name, size_t size, std::vector<float>* out);
  Status read_parts(const std::string& name, const std::vector<uint64_t>& shape, Bf16Parts* out);
  Status read_slices(const std::string& weight, const std::string& bias, size_t n_in, std::span<const Slice> slices);
  Status read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in, Linear* out);
  Status read_attention(size_t layer, LayerWeights* out);
  Status read_experts(size_t layer, const Name& blocks, const Name& scales, const Name& dense, const Name& bias,
                      size_t rows, size_t n_in, std::vector<Linear>* out);
  Status read_mxfp4_experts(const std::string& blocks, const std::string& scales, size_t rows, size_t n_in,
                            std::vector<Linear>* out);
  Status read_dense_experts(const std::string& name, size_t rows, size_t n_in, std::vector<Linear>* out);
  bool is_mxfp4(const std::vector<Linear>& experts) const {
    const auto stored = stored_.find(&experts[0].parts[0]);
    return stored != stored_.end() && stored->second.scales.file != 0;
  }

  Status check_int8() const;
  void make_int8(Matrix* matrix, Relocation* relocation);
  void move(Matrix* matrix, const Stored& stored, bool tiled, Relocation* relocation);
  void move_all(Residence residence, Relocation* packed, Relocation* embedding);
  Status fill(Relocation* packed, WeightCache* cache, const Weights::Progress& progress);
  Status bad_scale(uint64_t place) const;

  Weights& weights_;
  const Checkpoint& files_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  bool original_ = false;
  bool tied_ = false;                                 // the head is the embedding
  std::unordered_map<const Matrix*, Stored> stored_;  // what make_resident() is to bring
  std::map<uint64_t, std::string> scales_;            // the names of their tensors, by the number() of the place
};

}  // namespace switchyard
