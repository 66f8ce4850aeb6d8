#include "weights.h"

#include <filesystem>
#include <new>
#include <system_error>

#include "gguf_config.h"
#include "weight_binder.h"

namespace switchyard {

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

namespace {

// A model is a GGUF file, or a folder of safetensors and a config.json.
Status open_model(const std::string& path, ModelConfig* config, std::unique_ptr<Checkpoint>* files) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    if (Status status = load_config(path, config); !status.ok()) return status;
    return Checkpoint::open(path, files);
  }
  std::unique_ptr<Gguf> header;
  if (Status status = Checkpoint::open_gguf(path, files, &header); !status.ok()) return status;
  const ShapeOf shape_of = [&](const std::string& name) {
    const StoredTensor* tensor = (*files)->find(name);
    return tensor ? &tensor->shape : nullptr;
  };
  return config_from_gguf(*header, shape_of, config);
}

}  // namespace

Status Weights::load(const std::string& path, Residence residence, WeightCache* cache, ThreadPool* pool,
                     const Progress& progress, std::unique_ptr<Weights>* out) try {
  std::unique_ptr<Weights> weights(new Weights());
  std::unique_ptr<Checkpoint> files;
  if (Status status = open_model(path, &weights->config_, &files); !status.ok()) return status;
  WeightBinder binder(weights.get(), *files, residence, pool);
  Status status = binder.bind();
  if (status.ok()) status = binder.make_resident(cache, progress);
  if (!status.ok()) {
    if (status.code == Code::invalid_file || status.code == Code::unsupported) status.message = path + ": " + status.message;
    return status;
  }
  if (Status status = files->check_unchanged(); !status.ok()) return status;
  *out = std::move(weights);
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, path + ": not enough memory for the weights");
}

}  // namespace switchyard
