#include "weights.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <new>

namespace switchyard {
namespace {

constexpr size_t kReadPiece = size_t(64) << 20;  // bytes read ahead between two reports of progress

// The names of one tensor in the two layouts.
struct Name {
  const char* hf;
  const char* original;
};

}  // namespace

size_t Linear::bytes() const {
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) total += parts[i].bytes();
  return total;
}

void Weights::for_each_decode_matrix(const std::function<void(Matrix* matrix)>& visit) {
  const auto visit_linear = [&](Linear& linear) {
    for (size_t i = 0; i < linear.count; ++i) visit(&linear.parts[i]);
  };
  for (LayerWeights& layer : layers_) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.router}) visit_linear(*linear);
    for (Linear& linear : layer.gate_up) visit_linear(linear);
    for (Linear& linear : layer.down) visit_linear(linear);
  }
  visit_linear(unembedding_);
}

void Weights::for_each_decode_buffer(const std::function<void(const void* data, size_t bytes)>& visit) const {
  const_cast<Weights*>(this)->for_each_decode_matrix([&](const Matrix* matrix) {
    const size_t elements = matrix->stored_rows() * matrix->n_in;
    if (matrix->bf16) visit(matrix->bf16, elements * sizeof(uint16_t));
    if (matrix->blocks) visit(matrix->blocks, elements / 2);
    if (matrix->i8) visit(matrix->i8, elements);
    if (matrix->scales) visit(matrix->scales, elements / kMxfp4Block * (matrix->i8 ? sizeof(uint16_t) : 1));
  });
}

// Fills a Weights from a Checkpoint; lives only while one loads.
class WeightBinder {
 public:
  WeightBinder(Weights* weights, ThreadPool* pool) : weights_(*weights), config_(weights->config_), pool_(*pool) {}

  Status bind();
  Status make_resident(Residence residence, const Weights::Progress& progress);
  Status read_ahead(const Weights::Progress& progress);
  Status check_scales();

 private:
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

Status WeightBinder::find(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out) {
  const TensorView* tensor = weights_.checkpoint_->find(name);
  if (!tensor) return Status::error(Code::invalid_file, "the checkpoint lacks tensor \"" + name + "\"");
  if (tensor->shape != shape) {
    TensorView wanted{tensor->dtype, shape, nullptr, 0};
    return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + tensor->describe() +
                                                 ", config.json calls for " + wanted.describe());
  }
  weights_.bytes_ += int64_t(tensor->bytes);
  in_place_.emplace_back(tensor->data, tensor->bytes);
  *out = *tensor;
  return {};
}

Status WeightBinder::find_floats(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (is_float(out->dtype)) return {};
  return Status::error(Code::invalid_file,
                       "tensor \"" + name + "\" is " + out->describe() + ", expected BF16, F16 or F32");
}

Status WeightBinder::find_bytes(const std::string& name, const std::vector<uint64_t>& shape, TensorView* out) {
  if (Status status = find(name, shape, out); !status.ok()) return status;
  if (out->dtype == Dtype::u8) return {};
  return Status::error(Code::invalid_file, "tensor \"" + name + "\" is " + out->describe() + ", expected U8");
}

Status WeightBinder::read_vector(const std::string& name, size_t size, std::vector<float>* out) {
  TensorView tensor;
  if (Status status = find_floats(name, {size}, &tensor); !status.ok()) return status;
  in_place_.pop_back();
  return read_floats(*weights_.checkpoint_, tensor, out);
}

// Matrices may stay where they are, until make_resident() moves them; the small vectors never do.
Status WeightBinder::read_parts(const std::string& name, const std::vector<uint64_t>& shape, bool in_place,
                                Bf16Parts* out) {
  TensorView tensor;
  if (Status status = find_floats(name, shape, &tensor); !status.ok()) return status;
  Status status = split_to_bf16(*weights_.checkpoint_, tensor, in_place, &pool_, &weights_.owned_, out);
  if (reinterpret_cast<const uint8_t*>(out->data[0]) != tensor.data) in_place_.pop_back();  // copied, so not read ahead
  return status;
}

// `bias` may be empty: none.
Status WeightBinder::read_linear(const std::string& weight, const std::string& bias, size_t rows, size_t n_in,
                                 Linear* out) {
  Bf16Parts weights, biases;
  if (Status status = read_parts(weight, {rows, n_in}, true, &weights); !status.ok()) return status;
  if (bias.empty()) {
    biases.count = 0;
  } else if (Status status = read_parts(bias, {rows}, false, &biases); !status.ok()) {
    return status;
  }
  out->count = std::max(weights.count, biases.count);
  for (size_t part = 0; part < out->count; ++part) {
    out->parts[part] = {.rows = rows, .n_in = n_in, .bf16 = weights.data[part], .bias = biases.data[part]};
  }
  return {};
}

// The original layout stacks q, k and v in one matrix; here they are three views.
Status WeightBinder::read_attention(size_t layer, LayerWeights* out) {
  const size_t hidden = size_t(config_.hidden_size), q_size = config_.q_size(), kv_size = config_.kv_size();
  const bool has_bias = config_.attention_bias;
  const auto bias_name = [&](const Name& name) { return has_bias ? layer_name(layer, name) : std::string(); };
  if (original_) {
    Linear qkv;
    if (Status status = read_linear(layer_name(layer, {"", "attn.qkv.weight"}), bias_name({"", "attn.qkv.bias"}),
                                    q_size + 2 * kv_size, hidden, &qkv);
        !status.ok()) {
      return status;
    }
    const auto rows_of = [&](size_t begin, size_t rows) {
      Linear view = qkv;
      for (size_t part = 0; part < view.count; ++part) {
        Matrix& matrix = view.parts[part];
        matrix.rows = rows;
        if (matrix.bf16) matrix.bf16 += begin * hidden;
        if (matrix.bias) matrix.bias += begin;
      }
      return view;
    };
    out->q = rows_of(0, q_size);
    out->k = rows_of(q_size, kv_size);
    out->v = rows_of(q_size + kv_size, kv_size);
  } else {
    struct {
      const char* letter;
      size_t rows;
      Linear* linear;
    } const matrices[] = {{"q", q_size, &out->q}, {"k", kv_size, &out->k}, {"v", kv_size, &out->v}};
    for (const auto& matrix : matrices) {
      const std::string name = layer_name(layer, {"self_attn.", ""}) + matrix.letter + "_proj.";
      if (Status status =
              read_linear(name + "weight", has_bias ? name + "bias" : "", matrix.rows, hidden, matrix.linear);
          !status.ok())
        return status;
    }
  }
  if (Status status = read_linear(layer_name(layer, {"self_attn.o_proj.weight", "attn.out.weight"}),
                                  bias_name({"self_attn.o_proj.bias", "attn.out.bias"}), hidden, q_size, &out->o);
      !status.ok()) {
    return status;
  }
  return read_vector(layer_name(layer, {"self_attn.sinks", "attn.sinks"}), size_t(config_.num_attention_heads),
                     &out->sinks);
}

Status WeightBinder::read_mxfp4_experts(const std::string& blocks, const std::string& scales, size_t rows, size_t n_in,
                                        std::vector<Linear>* out) {
  const size_t experts = out->size(), row_blocks = n_in / 32;
  TensorView block_tensor, scale_tensor;
  if (Status status = find_bytes(blocks, {experts, rows, row_blocks, 16}, &block_tensor); !status.ok()) return status;
  if (Status status = find_bytes(scales, {experts, rows, row_blocks}, &scale_tensor); !status.ok()) return status;
  scales_.push_back({scales, scale_tensor.data, scale_tensor.bytes});
  for (size_t expert = 0; expert < experts; ++expert) {
    (*out)[expert].parts[0] = {.rows = rows,
                               .n_in = n_in,
                               .blocks = block_tensor.data + expert * rows * row_blocks * 16,
                               .scales = scale_tensor.data + expert * rows * row_blocks};
  }
  return {};
}

// Unquantised experts are stored as (experts, n_in, rows), for x @ W; the ops want rows of n_in.
Status WeightBinder::read_dense_experts(const std::string& name, size_t rows, size_t n_in, std::vector<Linear>* out) {
  const size_t experts = out->size();
  TensorView tensor;
  if (Status status = find_floats(name, {experts, n_in, rows}, &tensor); !status.ok()) return status;
  in_place_.pop_back();  // copied, so not read ahead
  OwnedMemory temporary;
  Bf16Parts stored;
  if (Status status = split_to_bf16(*weights_.checkpoint_, tensor, false, &pool_, &temporary, &stored); !status.ok())
    return status;
  const Bf16Parts parts = transpose(stored, experts, n_in, rows, &pool_, &weights_.owned_);
  for (size_t expert = 0; expert < experts; ++expert) {
    Linear& linear = (*out)[expert];
    linear.count = parts.count;
    for (size_t part = 0; part < parts.count; ++part) {
      linear.parts[part] = {.rows = rows, .n_in = n_in, .bf16 = parts.data[part] + expert * rows * n_in};
    }
  }
  return {};
}

Status WeightBinder::read_experts(size_t layer, const Name& blocks, const Name& scales, const Name& dense,
                                  const Name& bias, size_t rows, size_t n_in, std::vector<Linear>* out) {
  const size_t experts = size_t(config_.num_experts);
  out->resize(experts);
  const std::string dense_name = layer_name(layer, dense), blocks_name = layer_name(layer, blocks);
  const bool is_dense = weights_.checkpoint_->find(dense_name) && !weights_.checkpoint_->find(blocks_name);
  if (Status status = is_dense ? read_dense_experts(dense_name, rows, n_in, out)
                               : read_mxfp4_experts(blocks_name, layer_name(layer, scales), rows, n_in, out);
      !status.ok()) {
    return status;
  }
  Bf16Parts biases;
  if (Status status = read_parts(layer_name(layer, bias), {experts, rows}, false, &biases); !status.ok()) return status;
  for (size_t expert = 0; expert < experts; ++expert) {
    Linear& linear = (*out)[expert];
    linear.count = std::max(linear.count, biases.count);
    for (size_t part = 0; part < linear.count; ++part) {
      linear.parts[part].rows = rows;
      linear.parts[part].n_in = n_in;
      if (biases.data[part]) linear.parts[part].bias = biases.data[part] + expert * rows;
    }
  }
  return {};
}

Status WeightBinder::bind() {
  const size_t hidden = size_t(config_.hidden_size), intermediate = size_t(config_.intermediate_size),
               vocab = size_t(config_.vocab_size);
  original_ = weights_.checkpoint_->find("embedding.weight") != nullptr;
  for (Status status : {
           read_linear(top_name({"model.embed_tokens.weight", "embedding.weight"}), "", vocab, hidden,
                       &weights_.embedding_),
           read_vector(top_name({"model.norm.weight", "norm.scale"}), hidden, &weights_.norm_),
       }) {
    if (!status.ok()) return status;
  }
  const std::string head = top_name({"lm_head.weight", "unembedding.weight"});
  if (config_.tie_word_embeddings && !weights_.checkpoint_->find(head)) {
    weights_.unembedding_ = weights_.embedding_;
  } else if (Status status = read_linear(head, "", vocab, hidden, &weights_.unembedding_); !status.ok()) {
    return status;
  }

  const size_t layers = size_t(config_.num_hidden_layers);
  weights_.layers_.resize(layers);
  for (size_t i = 0; i < layers; ++i) {
    LayerWeights& layer = weights_.layers_[i];
    Status status = read_vector(layer_name(i, {"input_layernorm.weight", "attn.norm.scale"}), hidden, &layer.attn_norm);
    if (status.ok()) status = read_attention(i, &layer);
    if (status.ok())
      status =
          read_vector(layer_name(i, {"post_attention_layernorm.weight", "mlp.norm.scale"}), hidden, &layer.mlp_norm);
    if (status.ok()) {
      status = read_linear(layer_name(i, {"mlp.router.weight", "mlp.gate.weight"}),
                           layer_name(i, {"mlp.router.bias", "mlp.gate.bias"}), size_t(config_.num_experts), hidden,
                           &layer.router);
    }
    if (status.ok()) {
      status =
          read_experts(i, {"mlp.experts.gate_up_proj_blocks", "mlp.mlp1_weight.blocks"},
                       {"mlp.experts.gate_up_proj_scales", "mlp.mlp1_weight.scales"},
                       {"mlp.experts.gate_up_proj", "mlp.mlp1_weight"},
                       {"mlp.experts.gate_up_proj_bias", "mlp.mlp1_bias"}, 2 * intermediate, hidden, &layer.gate_up);
    }
    if (status.ok()) {
      status = read_experts(i, {"mlp.experts.down_proj_blocks", "mlp.mlp2_weight.blocks"},
                            {"mlp.experts.down_proj_scales", "mlp.mlp2_weight.scales"},
                            {"mlp.experts.down_proj", "mlp.mlp2_weight"},
                            {"mlp.experts.down_proj_bias", "mlp.mlp2_bias"}, hidden, intermediate, &layer.down);
    }
    if (!status.ok()) return status;
    // One format of activations serves all experts.
    const auto quantised = [](const std::vector<Linear>& experts) { return experts[0].parts[0].blocks != nullptr; };
    if (quantised(layer.gate_up) != weights_.has_mxfp4_experts() ||
        quantised(layer.down) != weights_.has_mxfp4_experts()) {
      return Status::error(Code::unsupported, "some experts are MXFP4 and others, in layer " + std::to_string(i) +
                                                  " or 0, are not");
    }
  }
  // Leaving layers out would give fluent nonsense.
  const std::string beyond = layer_name(layers, {"input_layernorm.weight", "attn.norm.scale"});
  if (weights_.checkpoint_->find(beyond)) {
    return Status::error(Code::invalid_file, "the checkpoint has tensor \"" + beyond +
                                                 "\", but config.json says num_hidden_layers " +
                                                 std::to_string(layers));
  }
  return {};
}

// Whether attention's matrices can be int8: blocks of 32, and no more than bf16 holds.
Status WeightBinder::check_int8() const {
  for (const LayerWeights& layer : weights_.layers_) {
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o}) {
      if (linear->n_in() % kMxfp4Block != 0)
        return Status::error(Code::unsupported, "int8 dense matrices need rows of a multiple of 32 elements, not " +
                                                    std::to_string(linear->n_in()));
      for (size_t part = 1; part < linear->count; ++part) {
        if (linear->parts[part].bf16)
          return Status::error(Code::unsupported, "int8 dense matrices need a checkpoint whose attention is BF16");
      }
    }
  }
  return {};
}

void WeightBinder::make_int8(const std::function<bool(const void*)>& is_mapped, Relocation* relocation) {
  for (LayerWeights& layer : weights_.layers_) {
    for (Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o}) {
      Matrix* matrix = &linear->parts[0];
      const size_t before = matrix->bytes();
      const auto moved = [this, matrix, before](const uint8_t* tiles, const uint8_t* scales) {
        matrix->bf16 = nullptr;
        matrix->i8 = tiles;
        matrix->scales = scales;
        matrix->tiled = true;
        weights_.bytes_ -= int64_t(before) - int64_t(matrix->bytes());
      };
      relocation->int8(matrix->bf16, matrix->rows, matrix->n_in / kMxfp4Block, is_mapped(matrix->bf16), moved);
    }
  }
}

// Copies what decoding reads out of the file into huge pages, experts as tiles where asked, and forgets the file's pages.
Status WeightBinder::make_resident(Residence residence, const Weights::Progress& progress) {
  const bool tiled = residence != Residence::resident, as_int8 = residence == Residence::int8;
  if (Status status = as_int8 ? check_int8() : Status(); !status.ok()) return status;
  std::map<const uint8_t*, size_t> tensors(in_place_.begin(), in_place_.end());
  const auto is_mapped = [&](const void* data) {
    const uint8_t* at = static_cast<const uint8_t*>(data);
    const auto next = tensors.upper_bound(at);
    return next != tensors.begin() && at < std::prev(next)->first + std::prev(next)->second;
  };
  Relocation relocation;
  if (as_int8) make_int8(is_mapped, &relocation);
  std::vector<Matrix*> matrices;
  weights_.for_each_decode_matrix([&](Matrix* matrix) {
    if (relocation.moves(matrix->bf16)) return;
    if (is_mapped(matrix->blocks ? static_cast<const void*>(matrix->blocks) : matrix->bf16)) matrices.push_back(matrix);
  });
  const bool tied = weights_.unembedding_.parts[0].bf16 == weights_.embedding_.parts[0].bf16;
  for (Matrix* matrix : matrices) {
    if (!matrix->blocks) {
      relocation.copy(matrix->bf16, matrix->rows * matrix->n_in * sizeof(uint16_t),
                      [matrix](const void* to) { matrix->bf16 = static_cast<const uint16_t*>(to); });
      continue;
    }
    const auto moved = [matrix, tiled](const uint8_t* blocks, const uint8_t* scales) {
      matrix->blocks = blocks;
      matrix->scales = scales;
      matrix->tiled = tiled;
    };
    relocation.mxfp4(matrix->blocks, matrix->scales, matrix->rows, matrix->n_in / kMxfp4Block, tiled, moved);
  }
  if (Status status = relocation.run(&pool_, progress, &weights_.huge_); !status.ok()) {
    // Beyond the 255 of a scale, which has a name.
    const uint8_t* bad = relocation.bad_scale();
    for (const Scales& scales : scales_) {
      if (bad && bad >= scales.data && bad < scales.data + scales.bytes) return bad_scale(scales, size_t(bad - scales.data));
    }
    return status;
  }
  if (tied) weights_.embedding_ = weights_.unembedding_;
  std::erase_if(in_place_, [&](const auto& tensor) { return relocation.has_moved(tensor.first, tensor.second); });
  std::erase_if(scales_, [&](const Scales& scales) { return relocation.has_moved(scales.data, scales.bytes); });
  return {};
}

// Brings the rest of the file's pages into memory, when they fit, so that the first request does not wait for the disk
// and a failing disk is an error here instead of a signal later.
Status WeightBinder::read_ahead(const Weights::Progress& progress) {
  const double memory = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
  if (double(weights_.bytes_) > 0.9 * memory) return {};
  std::vector<std::pair<const uint8_t*, size_t>> pieces;
  for (const auto& [data, bytes] : in_place_) {
    for (size_t at = 0; at < bytes; at += kReadPiece) pieces.emplace_back(data + at, std::min(kReadPiece, bytes - at));
  }
  std::atomic<int> failure{0};
  size_t done = 0;
  std::mutex report;
  pool_.parallel_for(pieces.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      if (const int error = populate(pieces[i].first, pieces[i].second)) failure = error;
      const std::lock_guard lock(report);
      ++done;
      if (progress) progress(double(done) / double(pieces.size()));
    }
  });
  if (failure != 0) return read_failed(failure);
  return {};
}

Status WeightBinder::bad_scale(const Scales& scales, size_t element) {
  return Status::error(Code::invalid_file, "tensor \"" + scales.name + "\" has the scale 255 (not a number) at element " +
                                               std::to_string(element));
}

Status WeightBinder::check_scales() {
  for (const Scales& scales : scales_) {
    std::atomic<size_t> bad{SIZE_MAX};
    pool_.parallel_for(scales.bytes, size_t(1) << 20, [&](size_t begin, size_t end, int) {
      if (const void* found = std::memchr(scales.data + begin, kE8m0Nan, end - begin)) {
        bad = size_t(static_cast<const uint8_t*>(found) - scales.data);
      }
    });
    if (bad != SIZE_MAX) return bad_scale(scales, bad);
  }
  return {};
}

Status Weights::load(const std::string& folder, Residence residence, ThreadPool* pool, const Progress& progress,
                     std::unique_ptr<Weights>* out) try {
  std::unique_ptr<Weights> weights(new Weights());
  if (Status status = load_config(folder, &weights->config_); !status.ok()) return status;
  if (Status status = Checkpoint::open(folder, &weights->checkpoint_); !status.ok()) return status;
  WeightBinder binder(weights.get(), pool);
  if (Status status = binder.bind(); !status.ok()) {
    if (status.code == Code::invalid_file) status.message = folder + ": " + status.message;
    return status;
  }
  if (residence != Residence::mapped) {
    const Status status = binder.make_resident(residence, progress);
    if (!status.ok() && (residence != Residence::resident || status.code != Code::out_of_memory)) return status;
  }
  if (Status status = binder.read_ahead(residence == Residence::mapped ? progress : Progress()); !status.ok())
    return status;
  if (Status status = binder.check_scales(); !status.ok()) return status;
  *out = std::move(weights);
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, folder + ": not enough memory for the weights");
}

}  // namespace switchyard
