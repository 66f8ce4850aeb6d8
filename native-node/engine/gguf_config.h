// The shape of a gpt-oss model, from the keys of a GGUF file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config.h"
#include "gguf.h"

namespace switchyard {

// Who wrote a file. The two converters name and order a few tensors in their own ways.
enum class GgufWriter {
  llama_cpp,  // general.architecture gpt-oss
  ollama      // general.architecture gptoss
};

// unsupported, with its name, where the architecture is another one.
Status gguf_writer(const Gguf& file, GgufWriter* out);

// The shape of a tensor of any part of the model, nullptr where there is none.
using ShapeOf = std::function<const std::vector<uint64_t>*(const std::string& name)>;

// `file` is the first part, which has the keys and may have no tensor at all. Missing keys have the defaults of llama.cpp. invalid_file
// or unsupported with the key at fault.
Status config_from_gguf(const Gguf& file, const ShapeOf& shape_of, ModelConfig* out);

}  // namespace switchyard
