// GGUF files as a checkpoint: one file, or the parts that llama-gguf-split makes of one.
#include <algorithm>
#include <cstdio>

#include "checkpoint.h"
#include "gguf.h"
#include "gguf_config.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxParts = 10'000;  // five digits, and more than anybody has
constexpr size_t kSuffix = sizeof("-00001-of-00002.gguf") - 1;

struct KnownType {
  uint32_t number;
  Dtype dtype;
};
constexpr KnownType kKnown[] = {
    {0, Dtype::f32}, {1, Dtype::f16}, {30, Dtype::bf16}, {8, Dtype::q8_0}, {39, Dtype::mxfp4}};
constexpr uint32_t kOllamaMxfp4 = 4;

Status dtype_of(const Gguf& file, const Gguf::Tensor& tensor, GgufWriter writer, Dtype* out) {
  if (tensor.type->number == kOllamaMxfp4 && writer == GgufWriter::ollama) {
    *out = Dtype::mxfp4_pairs;
    return {};
  }
  const auto known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                  [&](const KnownType& type) { return type.number == tensor.type->number; });
  if (known == std::end(kKnown)) {
    return Status::error(Code::unsupported, file.name() + ": tensor " + Gguf::quoted(tensor.name) + " is " + tensor.type->name +
                                                ", F32, F16, BF16, Q8_0 and MXFP4 can be read: take a file of this model whose "
                                                "matrices were not quantised further");
  }
  *out = known->dtype;
  return {};
}

// llama.cpp's names of what Ollama's converter has a name of its own for.
std::string common_name(std::string name) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {".attn_out.", ".attn_output."}, {".ffn_norm.", ".post_attention_norm."}};
  for (const auto& [theirs, common] : kNames) {
    if (const size_t at = name.find(theirs); at != std::string::npos) return name.replace(at, theirs.size(), common);
  }
  return name.ends_with(".attn_sinks") ? name + ".weight" : name;
}

struct Split {
  int64_t part = 0, parts = 1;
  int64_t tensors = -1;  // of all parts; negative: the file does not say
};

Status read_split(const Gguf& file, Split* out) {
  bool found = false;
  for (Status status : {
           file.get_integer("split.count", 0, kMaxParts, &out->parts, &found),
           file.get_integer("split.no", 0, kMaxParts, &out->part, &found),
           file.get_integer("split.tensors.count", 0, INT32_MAX, &out->tensors, &found),
       }) {
    if (!status.ok()) return status;
  }
  out->parts = std::max<int64_t>(out->parts, 1);
  if (out->part < out->parts) return {};
  return file.error("split.no", "is " + std::to_string(out->part) + " of " + std::to_string(out->parts) + " parts, counted from 0");
}

std::string part_suffix(int64_t part, int64_t parts) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05lld-of-%05lld.gguf", static_cast<long long>(part + 1), static_cast<long long>(parts));
  return text;
}

// The path without what numbers the part.
Status stem_of(const std::string& path, const Split& split, std::string* out) {
  const std::string name = path.substr(path.find_last_of('/') + 1), suffix = part_suffix(split.part, split.parts);
  if (!name.ends_with(suffix)) {
    return Status::error(Code::unsupported, path + ": is part " + std::to_string(split.part + 1) + " of " +
                                                std::to_string(split.parts) + ", but its name does not end in " + suffix +
                                                ": the others cannot be found (llama-gguf-split --merge makes one file of them)");
  }
  *out = path.substr(0, path.size() - kSuffix);
  if (split.part == 0) return {};
  return Status::error(Code::invalid_argument, path + ": is part " + std::to_string(split.part + 1) + " of " +
                                                   std::to_string(split.parts) + ": give the first, " + *out +
                                                   part_suffix(0, split.parts));
}

}  // namespace

Status Checkpoint::open_gguf_part(const std::string& path, std::unique_ptr<Gguf>* out) {
  if (Status status = add_file(path); !status.ok()) return status;
  return Gguf::read(gguf_source(*files_.back()), out);
}

Status Checkpoint::add_gguf_tensors(const Gguf& file) {
  const GgufWriter writer = layout_ == Layout::ollama ? GgufWriter::ollama : GgufWriter::llama_cpp;
  for (const Gguf::Tensor& tensor : file.tensors()) {
    StoredTensor stored{Dtype::other, tensor.shape, {uint32_t(files_.size()), tensor.offset}, tensor.bytes};
    if (Status status = dtype_of(file, tensor, writer, &stored.dtype); !status.ok()) return status;
    const std::string name = layout_ == Layout::ollama ? common_name(tensor.name) : tensor.name;
    if (!tensors_.emplace(name, std::move(stored)).second)
      return Status::error(Code::invalid_file, file.name() + ": tensor " + Gguf::quoted(name) + " is given twice");
  }
  return {};
}

Status Checkpoint::open_gguf(const std::string& path, std::unique_ptr<Checkpoint>* out, std::unique_ptr<Gguf>* header) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  std::unique_ptr<Gguf> first;
  GgufWriter writer{};
  Split split;
  if (Status status = checkpoint->open_gguf_part(path, &first); !status.ok()) return status;
  if (Status status = read_split(*first, &split); !status.ok()) return status;
  std::string stem;
  if (split.parts > 1) {
    if (Status status = stem_of(path, split, &stem); !status.ok()) return status;
  }
  if (Status status = gguf_writer(*first, &writer); !status.ok()) return status;
  checkpoint->layout_ = writer == GgufWriter::ollama ? Layout::ollama : Layout::llama_cpp;
  if (Status status = checkpoint->add_gguf_tensors(*first); !status.ok()) return status;
  for (int64_t part = 1; part < split.parts; ++part) {
    std::unique_ptr<Gguf> next;
    Split theirs;
    const std::string name = stem + part_suffix(part, split.parts);
    if (Status status = checkpoint->open_gguf_part(name, &next); !status.ok()) return status;
    if (Status status = read_split(*next, &theirs); !status.ok()) return status;
    if (theirs.part != part || theirs.parts != split.parts)
      return Status::error(Code::invalid_file, name + ": says that it is part " + std::to_string(theirs.part + 1) + " of " +
                                                   std::to_string(theirs.parts));
    if (theirs.tensors != split.tensors) return next->error("split.tensors.count", "is not that of " + path + ": a part of another model?");
    if (Status status = checkpoint->add_gguf_tensors(*next); !status.ok()) return status;
  }
  if (split.parts > 1 && split.tensors >= 0 && uint64_t(split.tensors) != checkpoint->tensors_.size())
    return first->error("split.tensors.count", "is " + std::to_string(split.tensors) + ", the parts have " +
                                                   std::to_string(checkpoint->tensors_.size()) + " tensors");
  *out = std::move(checkpoint);
  *header = std::move(first);
  return {};
}

}  // namespace switchyard
