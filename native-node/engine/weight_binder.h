// What fills a Weights from a checkpoint, in two parts: weight_binder.cpp finds every tensor by its name and checks it,
// weights_residence.cpp brings what was found to where it shall live. Nothing outside of Weights::load uses it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "weights.h"

namespace switchyard {

// Lives only while a Weights loads.
class WeightBinder {
 public:
  WeightBinder(Weights* weights, ThreadPool* pool) : weights_(*weights), config_(weights->config_), pool_(*pool) {}

  Status bind();
  Status make_resident(Residence residence, WeightCache* cache, const Weights::Progress& progress);
  Status read_ahead(const Weights::Progress& progress);
  Status check_scales();

 private:
  // The names of one tensor in the two layouts.
  struct Name {
    const char* hf;
    const char* original;
  };
  struct Scales {
    std::string name;
    const uint8_t* data;
    size_t bytes;
  };

  std::string layer_name(size_t layer, const Name& name) const {
    return original_ ? "block." + std::to_string(layer) + "." + name.original
                     : "model.layers." + std::to_string(layer) + "." + name.hf;
  }
  std::string top_name(const Name& name) const { return original_ ? name.original : name.hf; }

  Status find(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out);
  Status find_floats(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out);
  Status find_bytes(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out);
  Status read_vector(const std::string& name, size_t size, std::vector<float>* out);
  Status read_parts(const std::string& name, const std::vector<uint64_t>& shape, bool in_place, Bf16Parts* out);
  Status read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in, Linear* out);
  Status read_attention(size_t layer, LayerWeights* out);
  Status read_experts(size_t layer, const Name& blocks, const Name& scales, const Name& dense, const Name& bias,
                      size_t rows, size_t n_in, std::vector<Linear>* out);
  Status read_mxfp4_experts(const std::string& blocks, const std::string& scales, size_t rows, size_t n_in,
                            std::vector<Linear>* out);
  Status read_dense_experts(const std::string& name, size_t rows, size_t n_in, std::vector<Linear>* out);
  Status fill(Relocation* relocation, WeightCache* cache, const Weights::Progress& progress);
  static Status bad_scale(const Scales& scales, size_t element);
  Status check_int8() const;
  void make_int8(const std::function<bool(const void*)>& is_mapped, Relocation* relocation);

  Weights& weights_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  bool original_ = false;
  std::vector<Scales> scales_;  // checked together at the end
  std::vector<std::pair<const uint8_t*, size_t>> in_place_;
};

}  // namespace switchyard
