#include "checkpoint.h"

#include <algorithm>

#include "checksum.h"
#include "json.h"

namespace switchyard {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr uint64_t kMaxIndexBytes = 100'000'000;
constexpr size_t kMaxTensors = 1 << 18;
constexpr size_t kMaxRank = 16;
constexpr size_t kMaxFiles = 10'000;  // of a checkpoint
static_assert(kMaxFiles < size_t(1) << (64 - Place::kOffsetBits));

struct DtypeInfo {
  std::string_view name;
  Dtype dtype;
  uint64_t bytes;
};
constexpr DtypeInfo kDtypes[] = {
    {"BF16", Dtype::bf16, 2},     {"F16", Dtype::f16, 2},   {"F32", Dtype::f32, 4},       {"U8", Dtype::u8, 1},
    {"BOOL", Dtype::other, 1},    {"I8", Dtype::other, 1},  {"F8_E5M2", Dtype::other, 1}, {"F8_E4M3", Dtype::other, 1},
    {"F8_E8M0", Dtype::other, 1}, {"I16", Dtype::other, 2}, {"U16", Dtype::other, 2},     {"I32", Dtype::other, 4},
    {"U32", Dtype::other, 4},     {"F64", Dtype::other, 8}, {"I64", Dtype::other, 8},     {"U64", Dtype::other, 8},
};

const DtypeInfo* find_dtype(std::string_view name) {
  for (const DtypeInfo& info : kDtypes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

Status invalid(const std::string& file, const std::string& what) {
  return Status::error(Code::invalid_file, file + ": " + what);
}

// An entry of the header with its place in the data section.
struct Entry {
  std::string name;
  Dtype dtype;
  std::vector<uint64_t> shape;
  uint64_t begin, end;
};

Status read_count(const json::Value& value, uint64_t* out) {
  int64_t number = 0;
  if (Status status = value.get(&number); !status.ok()) return status;
  if (number < 0) return value.error("must not be negative");
  *out = uint64_t(number);
  return {};
}

Status read_entry(const json::Member& member, uint64_t data_bytes, Entry* out) {
  out->name = std::string(member.key);
  std::string_view dtype_text;
  json::Value shape, offsets;
  if (Status status = member.value.get("dtype", &dtype_text); !status.ok()) return status;
  if (Status status = member.value.get("shape", &shape); !status.ok()) return status;
  if (Status status = member.value.get("data_offsets", &offsets); !status.ok()) return status;

  const DtypeInfo* info = find_dtype(dtype_text);
  if (!info) return member.value.error("unknown dtype \"" + std::string(dtype_text) + "\"");
  out->dtype = info->dtype;

  if (Status status = shape.expect(json::Type::array); !status.ok()) return status;
  if (shape.size() > kMaxRank) return shape.error("has more than " + std::to_string(kMaxRank) + " dimensions");
  uint64_t bytes = info->bytes;
  for (const json::Value& item : shape.items()) {
    uint64_t dimension = 0;
    if (Status status = read_count(item, &dimension); !status.ok()) return status;
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return shape.error("overflows");
    out->shape.push_back(dimension);
  }

  if (Status status = offsets.expect(json::Type::array); !status.ok()) return status;
  if (offsets.size() != 2) return offsets.error("must be [begin, end]");
  uint64_t pair[2] = {0, 0};
  size_t index = 0;
  for (const json::Value& item : offsets.items()) {
    if (Status status = read_count(item, &pair[index++]); !status.ok()) return status;
  }
  out->begin = pair[0];
  out->end = pair[1];
  if (out->begin > out->end) return offsets.error("end lies before begin");
  if (out->end > data_bytes) {
    return offsets.error("end " + std::to_string(out->end) + " lies past the file's end (data section of " +
                         std::to_string(data_bytes) + " bytes; is the file truncated?)");
  }
  if (out->end - out->begin != bytes) {
    return offsets.error("span " + std::to_string(out->end - out->begin) + " bytes, dtype and shape need " +
                         std::to_string(bytes));
  }
  return {};
}

// Tensors must lie side by side from the first byte to the last: no overlap, no hole that could hide something.
Status check_layout(std::vector<const Entry*> entries, uint64_t data_bytes, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  uint64_t next = 0;
  for (const Entry* entry : entries) {
    if (entry->begin != next) {
      return invalid(file, "tensor \"" + entry->name + "\" begins at " + std::to_string(entry->begin) + ", expected " +
                               std::to_string(next) + (entry->begin < next ? " (tensors overlap)" : " (a hole)"));
    }
    next = entry->end;
  }
  if (next != data_bytes) {
    return invalid(file, "tensors end at " + std::to_string(next) + ", the data section has " +
                             std::to_string(data_bytes) + " bytes");
  }
  return {};
}

// Names from an index are joined to the folder: only a plain file name may pass.
bool is_plain_file_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name[0] == '.') return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c > 0x20 && c != '/' && c != '\\' && c != 0x7f; });
}

}  // namespace

const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16: return "BF16";
    case Dtype::f16: return "F16";
    case Dtype::f32: return "F32";
    case Dtype::u8: return "U8";
    case Dtype::q8_0: return "Q8_0";
    case Dtype::mxfp4:
    case Dtype::mxfp4_pairs: return "MXFP4";
    case Dtype::other: break;
  }
  return "another dtype";
}

std::string StoredTensor::describe() const {
  std::string text = std::string(dtype_name(dtype)) + " [";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

namespace {

// The length of the header, from its first eight bytes.
Status header_length(const uint8_t* first, uint64_t size, const std::string& name, uint64_t* out) {
  uint64_t header_bytes = 0;
  for (int i = 0; i < 8; ++i) header_bytes |= uint64_t(first[i]) << (8 * i);
  if (header_bytes > kMaxHeaderBytes)
    return invalid(name,
                   "header of " + std::to_string(header_bytes) + " bytes exceeds 100 MB: not a safetensors file?");
  if (header_bytes > size - 8) {
    return invalid(name, "header of " + std::to_string(header_bytes) + " bytes does not fit a file of " +
                             std::to_string(size) + " bytes");
  }
  *out = header_bytes;
  return {};
}

// `section`: where the data begins.
Status parse_header(std::string text, Place section, uint64_t section_bytes, const std::string& name, TensorMap* out) {
  std::unique_ptr<json::Document> document;
  if (Status status = json::Document::parse(std::move(text), name, &document); !status.ok()) return status;
  const json::Value root = document->root();
  if (Status status = root.expect(json::Type::object); !status.ok()) return status;
  if (root.size() > kMaxTensors) return root.error("has too many tensors");

  std::vector<Entry> entries;
  entries.reserve(root.size());
  for (const json::Member& member : root.members()) {
    if (member.key == "__metadata__") continue;
    if (Status status = member.value.expect(json::Type::object); !status.ok()) return status;
    Entry entry;
    if (Status status = read_entry(member, section_bytes, &entry); !status.ok()) return status;
    entries.push_back(std::move(entry));
  }
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(&entry);
  if (Status status = check_layout(std::move(order), section_bytes, name); !status.ok()) return status;

  for (Entry& entry : entries) {
    StoredTensor tensor{entry.dtype, std::move(entry.shape), section.after(entry.begin), entry.end - entry.begin};
    if (!out->emplace(entry.name, std::move(tensor)).second)
      return invalid(name, "tensor \"" + entry.name + "\" is given twice");
  }
  return {};
}

}  // namespace

Status read_header(const File& file, uint32_t number, TensorMap* out) {
  if (file.size() < 8)
    return invalid(file.path(), "is too short for a safetensors file (" + std::to_string(file.size()) + " bytes)");
  uint8_t first[8];
  if (const ReadError error = file.read(0, sizeof first, first)) return read_failed(error);
  uint64_t header_bytes = 0;
  if (Status status = header_length(first, file.size(), file.path(), &header_bytes); !status.ok()) return status;
  std::string text(header_bytes, ' ');
  if (const ReadError error = file.read(sizeof first, header_bytes, text.data())) return read_failed(error);
  const Place section{number, sizeof first + header_bytes};
  return parse_header(std::move(text), section, file.size() - section.offset, file.path(), out);
}

Status Checkpoint::add_file(const std::string& path) {
  std::unique_ptr<File> opened;
  if (files_.size() >= kMaxFiles) return invalid(path, "is one of more than " + std::to_string(kMaxFiles) + " files");
  if (Status status = File::open(path, &opened); !status.ok()) return status;
  if (opened->size() >> Place::kOffsetBits != 0)
    return invalid(path, std::to_string(opened->size()) + " bytes, more than any model has");
  files_.push_back(std::move(opened));
  return {};
}

Status Checkpoint::open_file(const std::string& path, TensorMap* tensors) {
  if (Status status = add_file(path); !status.ok()) return status;
  return read_header(*files_.back(), uint32_t(files_.size()), tensors);
}

Status Checkpoint::open_single(const std::string& path) { return open_file(path, &tensors_); }

Status Checkpoint::open_sharded(const std::string& folder, const std::string& index_path) {
  std::unique_ptr<json::Document> index;
  if (Status status = json::Document::load(index_path, kMaxIndexBytes, &index); !status.ok()) return status;
  json::Value weight_map;
  if (Status status = index->root().get("weight_map", &weight_map); !status.ok()) return status;
  if (Status status = weight_map.expect(json::Type::object); !status.ok()) return status;
  if (weight_map.size() > kMaxTensors) return weight_map.error("has too many tensors");

  std::unordered_map<std::string, TensorMap> shards;
  for (const json::Member& member : weight_map.members()) {
    std::string file_name;
    if (Status status = member.value.get(&file_name); !status.ok()) return status;
    auto [shard, is_new] = shards.try_emplace(file_name);
    if (is_new) {
      if (!is_plain_file_name(file_name)) return member.value.error("must name a file of the same folder");
      const std::string path = folder + "/" + file_name;
      if (Status status = open_file(path, &shard->second); !status.ok()) return status;
    }
    const auto tensor = shard->second.find(std::string(member.key));
    if (tensor == shard->second.end()) {
      return member.value.error("tensor \"" + std::string(member.key) + "\" is not in " + file_name);
    }
    tensors_.emplace(tensor->first, tensor->second);
  }
  return {};
}

Status Checkpoint::open(const std::string& folder, std::unique_ptr<Checkpoint>* out) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  Status status = checkpoint->open_single(folder + "/model.safetensors");
  if (status.code == Code::not_found) {
    status = checkpoint->open_sharded(folder, folder + "/model.safetensors.index.json");
    if (status.code == Code::not_found && checkpoint->files_.empty()) {
      return Status::error(
          Code::not_found,
          folder + ": has neither model.safetensors nor a model.safetensors.index.json with its files");
    }
  }
  if (!status.ok()) return status;
  if (checkpoint->find("embedding.weight")) checkpoint->layout_ = Layout::original;
  *out = std::move(checkpoint);
  return {};
}

const StoredTensor* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const std::string* Checkpoint::find_other(const std::unordered_set<std::string>& names) const {
  const std::string* other = nullptr;
  for (const auto& [name, tensor] : tensors_) {
    if (!names.contains(name) && (!other || name < *other)) other = &name;
  }
  return other;
}

uint64_t Checkpoint::identity() const {
  uint64_t sum = 0;
  const auto add = [&](const std::vector<uint64_t>& numbers) {
    sum = checksum(numbers.data(), numbers.size() * sizeof(uint64_t), sum);
  };
  for (const auto& file : files_) add({file->size(), uint64_t(file->modified())});
  std::vector<const TensorMap::value_type*> order;
  order.reserve(tensors_.size());
  for (const auto& tensor : tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const auto* tensor : order) {
    sum = checksum(tensor->first.data(), tensor->first.size(), sum);
    add({uint64_t(tensor->second.dtype), tensor->second.place.number(), tensor->second.bytes});
    add(tensor->second.shape);
  }
  return sum;
}

Status Checkpoint::check_unchanged() const {
  for (const auto& file : files_) {
    if (file->has_changed()) return Status::error(Code::io_error, file->path() + ": was changed while it was read");
  }
  return {};
}

}  // namespace switchyard
