// What fills a Weights from a checkpoint, in two parts: weight_binder.cpp finds every tensor by its name, checks it and reads what
// is small or must be converted; weights_residence.cpp brings the rest to where it shall live. Nothing outside of Weights::load
// uses it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "weights.h"

namespace switchyard {

// Lives only while a Weights loads.
class WeightBinder {
 public:
  WeightBinder(Weights* weights, const Checkpoint& files, Residence residence, ThreadPool* pool)
      : weights_(*weights), files_(files), config_(weights->config_), residence_(residence), pool_(*pool) {}

  Status bind();
  Status make_resident(WeightCache* cache, const Weights::Progress& progress);

 private:
  // The names of one tensor in the layouts.
  struct Name {
    const char* hf;
    const char* original;
    const char* gguf;
  };
  static constexpr Name kFirstNorm{"input_layernorm.weight", "attn.norm.scale", "attn_norm.weight"};
  // Some rows of a tensor.
  struct Slice {
    size_t rows;
    Linear* linear;
  };
  // What experts are in: one tensor, or their rows 0, 2, 4 … in one and the others in another, which may be a part of the same.
  struct ExpertTensors {
    StoredTensor tensor, odd;
    std::string name, odd_name;
    bool alternate = false;
    size_t step = 0, odd_begin = 0;  // rows of a tensor: from expert to expert, and before the first odd one
  };

  bool is_gguf() const { return files_.layout() == Layout::llama_cpp || files_.layout() == Layout::ollama; }
  const char* name_in_layout(const Name& name) const {
    return is_gguf() ? name.gguf : files_.layout() == Layout::original ? name.original : name.hf;
  }
  std::string layer_name(size_t layer, const Name& name) const {
    const char* prefix = is_gguf() ? "blk." : files_.layout() == Layout::original ? "block." : "model.layers.";
    return prefix + std::to_string(layer) + "." + name_in_layout(name);
  }
  // Where the numbers come from that a tensor's shape must agree with.
  const char* shape_source() const { return is_gguf() ? "the file's keys call" : "config.json calls"; }
  // Whether a tensor is brought by make_resident().
  bool is_stored(Dtype dtype) const {
    return dtype == Dtype::bf16 || (dtype == Dtype::q8_0 && residence_ != Residence::exact);
  }

  Status find(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out);
  Status find_floats(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out);
  Status expected_numbers(const std::string& name, const StoredTensor& tensor) const;
  Status find_bytes(const std::string& name, const std::vector<uint64_t>& shape, StoredTensor* out);
  Status check_room(const std::string& name, size_t bytes);
  Status split(const std::string& name, const StoredTensor& tensor, OwnedMemory* owned, Bf16Parts* out);
  Status read_vector(const std::string& name, size_t size, std::vector<float>* out);
  Status read_parts(const std::string& name, const std::vector<uint64_t>& shape, Bf16Parts* out);
  Status read_slices(const std::string& weight, const std::string& bias, size_t n_in, std::span<const Slice> slices);
  Status read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in, Linear* out);
  Status read_attention(size_t layer, LayerWeights* out);
  Status read_layer(size_t layer);
  Status read_layer_experts(size_t layer, LayerWeights* out);
  Status read_experts(size_t layer, const Name& blocks, const Name& scales, const Name& dense, const Name& bias,
                      size_t rows, size_t n_in, std::vector<Linear>* out);
  Status read_mxfp4_experts(const std::string& blocks, const std::string& scales, size_t rows, size_t n_in,
                            std::vector<Linear>* out);
  Status read_dense_experts(const std::string& name, size_t rows, size_t n_in, std::vector<Linear>* out);
  Status read_gguf_experts(size_t layer, bool gate_up, size_t rows, size_t n_in, std::vector<Linear>* out);
  Status find_gguf_experts(size_t layer, bool gate_up, const char* suffix, const std::vector<uint64_t>& shape,
                           ExpertTensors* out);
  Status alternate(const Bf16Parts& even, const Bf16Parts& odd, const ExpertTensors& experts, size_t rows, size_t n_in, Bf16Parts* out);
  Status read_gguf_parts(const ExpertTensors& experts, size_t rows, size_t n_in, Bf16Parts* out);
  Status read_gguf_matrices(const ExpertTensors& experts, size_t rows, size_t n_in, std::vector<Linear>* out);
  static void add_biases(const Bf16Parts& biases, size_t rows, size_t n_in, std::vector<Linear>* out);
  bool is_mxfp4(const std::vector<Linear>& experts) const {
    const auto stored = stored_.find(&experts[0].parts[0]);
    return stored != stored_.end() && stored->second.is_mxfp4();
  }

  Status check_all_known() const;
  Status check_int8() const;
  void make_int8(Matrix* matrix, Relocation* relocation);
  void move(Matrix* matrix, const StoredRows& stored, Relocation* relocation) const;
  void move_all(Relocation* packed, Relocation* embedding);
  Status fill(Relocation* packed, WeightCache* cache, const Weights::Progress& progress);
  Status bad_scale(uint64_t place) const;

  Weights& weights_;
  const Checkpoint& files_;
  const ModelConfig& config_;
  const Residence residence_;
  ThreadPool& pool_;
  std::unordered_set<std::string> known_;                 // the tensors that find() was asked for
  size_t unchecked_ = 0;                                  // bytes that were taken since check_room() last looked
  bool tied_ = false;                                     // the head is the embedding
  std::unordered_map<const Matrix*, StoredRows> stored_;  // what make_resident() is to bring
  // The tensors of MXFP4 scales by the number() of their place, and the bytes from scale to scale.
  std::map<uint64_t, std::pair<std::string, size_t>> scales_;
};

}  // namespace switchyard
