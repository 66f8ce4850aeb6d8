#include "gguf.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace switchyard {
namespace {

constexpr uint64_t kMaxHeaderBytes = uint64_t(128) << 20;  // gpt-oss has 12 MB
constexpr size_t kFirstRead = 64 << 10;
constexpr uint64_t kMaxKeys = 1 << 16, kMaxTensors = 1 << 18;
constexpr uint64_t kMaxKeyBytes = 65535, kMaxTensorNameBytes = 64;  // the format's
constexpr uint64_t kMaxRank = 4;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxItems = 1 << 22;  // of an array that is asked for; gpt-oss has 446,189 merges
constexpr size_t kMostQuoted = 80;

// Those that are known by their size; which of them are read is checkpoint.cpp's business.
constexpr GgmlType kTypes[] = {
    {0, "F32", 1, 4},        {1, "F16", 1, 2},        {2, "Q4_0", 32, 18},     {3, "Q4_1", 32, 20},
    {4, "type 4", 32, 17},   {6, "Q5_0", 32, 22},     {7, "Q5_1", 32, 24},     {8, "Q8_0", 32, 34},
    {9, "Q8_1", 32, 40},     {10, "Q2_K", 256, 84},   {11, "Q3_K", 256, 110},  {12, "Q4_K", 256, 144},
    {13, "Q5_K", 256, 176},  {14, "Q6_K", 256, 210},  {15, "Q8_K", 256, 292},  {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74}, {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},  {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110}, {22, "IQ2_S", 256, 82},  {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},
    {25, "I16", 1, 2},       {26, "I32", 1, 4},       {27, "I64", 1, 8},       {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},  {30, "BF16", 1, 2},      {34, "TQ1_0", 256, 54},  {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17},   {40, "NVFP4", 64, 36},
};

const GgmlType* find_type(uint32_t number) {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const GgmlType& type) { return type.number == number; });
  return found == std::end(kTypes) ? nullptr : found;
}

template <typename T>
T load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

GgufSource gguf_source(const File& file) {
  return {file.path(), file.size(), [&file](uint64_t offset, size_t bytes, void* to) {
            const ReadError error = file.read(offset, bytes, to);
            return error ? read_failed(error) : Status();
          }};
}

size_t Gguf::bytes_of(Type type) {
  switch (type) {
    case Type::u8:
    case Type::i8:
    case Type::boolean: return 1;
    case Type::u16:
    case Type::i16: return 2;
    case Type::u32:
    case Type::i32:
    case Type::f32: return 4;
    case Type::u64:
    case Type::i64:
    case Type::f64: return 8;
    case Type::string:
    case Type::array: break;
  }
  return 0;
}

// Reads a header from front to back. The text grows as it is needed, and never by what a length in the file merely claims.
class GgufParser {
 public:
  GgufParser(const GgufSource& source, Gguf* out) : source_(source), out_(*out) {}

  Status parse() {
    uint64_t tensors = 0, keys = 0;
    if (Status status = parse_magic(); !status.ok()) return status;
    if (Status status = parse_version(); !status.ok()) return status;
    if (Status status = number(&tensors); !status.ok()) return status;
    if (Status status = number(&keys); !status.ok()) return status;
    if (tensors > kMaxTensors) return invalid(std::to_string(tensors) + " tensors, more than any model has");
    if (keys > kMaxKeys) return invalid(std::to_string(keys) + " keys, more than any model has");
    for (uint64_t i = 0; i < keys; ++i) {
      if (Status status = parse_key(); !status.ok()) return status;
    }
    for (uint64_t i = 0; i < tensors; ++i) {
      if (Status status = parse_tensor(); !status.ok()) return status;
    }
    out_.text_.resize(at_);
    return place_tensors();
  }

 private:
  using Type = Gguf::Type;

  Status invalid(const std::string& what) const {
    return Status::error(Code::invalid_file, source_.name + ": byte " + std::to_string(at_) + ": " + what);
  }
  // What is wrong with the file, and not at a place in its header.
  Status invalid_file(const std::string& what) const {
    return Status::error(Code::invalid_file, source_.name + ": " + what);
  }
  Status unsupported(const std::string& what) const {
    return Status::error(Code::unsupported, source_.name + ": " + what);
  }

  // Makes the next `bytes` bytes be there.
  Status need(uint64_t bytes) {
    if (bytes <= out_.text_.size() - at_) return {};
    if (bytes > source_.size - at_)
      return invalid("the header runs past the file's end, " + std::to_string(source_.size) + " (is the file truncated?)");
    if (bytes > kMaxHeaderBytes || at_ + bytes > kMaxHeaderBytes)
      return invalid("the header is longer than " + std::to_string(kMaxHeaderBytes) + " bytes");
    const size_t had = out_.text_.size();
    const uint64_t wanted = std::max<uint64_t>({at_ + bytes, had * 2, kFirstRead});
    out_.text_.resize(size_t(std::min({wanted, source_.size, kMaxHeaderBytes})));
    return source_.read(had, out_.text_.size() - had, out_.text_.data() + had);
  }

  template <typename T>
  Status number(T* out) {
    if (Status status = need(sizeof(T)); !status.ok()) return status;
    *out = load<T>(out_.text_.data() + at_);
    at_ += sizeof(T);
    return {};
  }

  Status string(uint64_t most, std::string_view* out) {
    uint64_t length = 0;
    if (Status status = number(&length); !status.ok()) return status;
    if (length > most) return invalid("a string of " + std::to_string(length) + " bytes, at most " + std::to_string(most));
    if (Status status = need(length); !status.ok()) return status;
    *out = std::string_view(out_.text_).substr(at_, size_t(length));
    at_ += length;
    return {};
  }

  Status parse_magic() {
    if (source_.size < 4) return invalid_file("is too short for a GGUF file");
    if (Status status = need(4); !status.ok()) return status;
    if (out_.text_.compare(0, 4, "GGUF") != 0) return invalid_file("is no GGUF file");
    at_ = 4;
    return {};
  }

  Status parse_version() {
    uint32_t version = 0;
    if (Status status = number(&version); !status.ok()) return status;
    if (version == 2 || version == 3) return {};
    if (version != 0 && (version & 0xffff) == 0) return unsupported("a big-endian GGUF file; only little-endian ones are read");
    return unsupported("GGUF version " + std::to_string(version) + "; versions 2 and 3 are read");
  }

  Status parse_type(Type* out) {
    uint32_t type = 0;
    if (Status status = number(&type); !status.ok()) return status;
    if (type > uint32_t(Type::f64)) return invalid("a value of the unknown type " + std::to_string(type));
    *out = Type(type);
    return {};
  }

  Status parse_key() {
    std::string_view text;
    Gguf::Value value{Type::u8, false, 1, 0};
    if (Status status = string(kMaxKeyBytes, &text); !status.ok()) return status;
    const std::string key(text);  // the text may move
    if (key.empty()) return invalid("an empty key");
    if (Status status = parse_type(&value.type); !status.ok()) return status;
    if (value.type == Type::array) {
      value.is_array = true;
      if (Status status = parse_type(&value.type); !status.ok()) return status;
      if (value.type == Type::array) return unsupported("key " + Gguf::quoted(key) + " is an array of arrays");
      if (Status status = number(&value.count); !status.ok()) return status;
    }
    value.at = at_;
    if (Status status = skip(value); !status.ok()) return status;
    if (!out_.values_.emplace(key, value).second) return invalid("key " + Gguf::quoted(key) + " is given twice");
    return {};
  }

  Status skip(const Gguf::Value& value) {
    const size_t bytes = Gguf::bytes_of(value.type);
    if (bytes > 0) {
      uint64_t total = 0;
      if (__builtin_mul_overflow(value.count, bytes, &total))
        return invalid("an array of " + std::to_string(value.count) + " items");
      if (Status status = need(total); !status.ok()) return status;
      at_ += total;
      return {};
    }
    std::string_view item;
    for (uint64_t i = 0; i < value.count; ++i) {
      if (Status status = string(UINT64_MAX, &item); !status.ok()) return status;
    }
    return {};
  }

  Status parse_tensor() {
    std::string_view text;
    uint32_t rank = 0, type = 0;
    Gguf::Tensor tensor{};
    if (Status status = string(kMaxTensorNameBytes, &text); !status.ok()) return status;
    tensor.name = text;
    const std::string name = "tensor " + Gguf::quoted(text);
    if (Status status = number(&rank); !status.ok()) return status;
    if (rank > kMaxRank) return invalid(name + " has " + std::to_string(rank) + " dimensions");
    for (uint32_t i = 0; i < rank; ++i) {
      uint64_t dimension = 0;
      if (Status status = number(&dimension); !status.ok()) return status;
      if (dimension == 0) return invalid(name + " has a dimension of 0");
      tensor.shape.insert(tensor.shape.begin(), dimension);
    }
    if (Status status = number(&type); !status.ok()) return status;
    if (Status status = number(&tensor.offset); !status.ok()) return status;
    tensor.type = find_type(type);
    if (!tensor.type) return unsupported(name + " is of the unknown type " + std::to_string(type));
    if (Status status = measure(name, &tensor); !status.ok()) return status;
    out_.tensors_.push_back(std::move(tensor));
    return {};
  }

  Status measure(const std::string& name, Gguf::Tensor* tensor) const {
    const GgmlType& type = *tensor->type;
    if ((tensor->shape.empty() ? 1 : tensor->shape.back()) % type.elements != 0)
      return invalid(name + ", " + tensor->describe() + ", is not made of whole blocks of " + std::to_string(type.elements));
    uint64_t elements = 1;
    for (const uint64_t dimension : tensor->shape) {
      if (__builtin_mul_overflow(elements, dimension, &elements)) return invalid(name + ": its size overflows");
    }
    if (__builtin_mul_overflow(elements / type.elements, uint64_t(type.bytes), &tensor->bytes))
      return invalid(name + ": its size overflows");
    return {};
  }

  // Their offsets count from the first aligned byte after the header. None may reach out of the file or into another one.
  Status place_tensors() {
    int64_t alignment = 32;
    bool found = false;
    if (Status status = out_.get_integer("general.alignment", 1, kMaxAlignment, &alignment, &found); !status.ok()) return status;
    if ((alignment & (alignment - 1)) != 0)
      return out_.error("general.alignment", "must be a power of two, is " + std::to_string(alignment));
    const uint64_t begin = (at_ + uint64_t(alignment) - 1) / uint64_t(alignment) * uint64_t(alignment);
    for (Gguf::Tensor& tensor : out_.tensors_) {
      const std::string name = "tensor " + Gguf::quoted(tensor.name);
      uint64_t end = 0;
      if (tensor.offset % uint64_t(alignment) != 0) return invalid_file(name + " is not aligned");
      if (__builtin_add_overflow(tensor.offset, begin, &tensor.offset) ||
          __builtin_add_overflow(tensor.offset, tensor.bytes, &end))
        return invalid_file(name + ": its place overflows");
      if (end > source_.size)
        return invalid_file(name + " ends at " + std::to_string(end) + ", past the file's end, " + std::to_string(source_.size) +
                       " (is the file truncated?)");
    }
    return check_order();
  }

  Status check_order() {
    std::vector<Gguf::Tensor>& tensors = out_.tensors_;
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
    for (size_t i = 1; i < tensors.size(); ++i) {
      if (tensors[i].offset < tensors[i - 1].offset + tensors[i - 1].bytes)
        return invalid_file("tensors " + Gguf::quoted(tensors[i - 1].name) + " and " + Gguf::quoted(tensors[i].name) + " overlap");
    }
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (size_t i = 1; i < tensors.size(); ++i) {
      if (tensors[i].name == tensors[i - 1].name)
        return invalid_file("tensor " + Gguf::quoted(tensors[i].name) + " is given twice");
    }
    return {};
  }

  const GgufSource& source_;
  Gguf& out_;
  uint64_t at_ = 0;
};

Status Gguf::read(const GgufSource& source, std::unique_ptr<Gguf>* out) {
  std::unique_ptr<Gguf> gguf(new Gguf());
  gguf->name_ = source.name;
  if (Status status = GgufParser(source, gguf.get()).parse(); !status.ok()) return status;
  *out = std::move(gguf);
  return {};
}

std::string Gguf::Tensor::describe() const {
  std::string text = std::string(type->name) + " [";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string Gguf::quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text.substr(0, kMostQuoted)) result += c >= 0x20 && c < 0x7f ? c : '?';
  return result + (text.size() > kMostQuoted ? "…\"" : "\"");
}

Status Gguf::error(std::string_view key, const std::string& what) const {
  return Status::error(Code::invalid_file, name_ + ": " + std::string(key) + ": " + what);
}

Status Gguf::unsupported(std::string_view key, const std::string& what) const {
  return Status::error(Code::unsupported, error(key, what).message);
}

bool Gguf::is_array(std::string_view key) const {
  const auto value = values_.find(std::string(key));
  return value != values_.end() && value->second.is_array;
}

// nullptr: it is missing; `status` says so where it must not be.
const Gguf::Value* Gguf::find(std::string_view key, bool* found, Status* status) const {
  const auto value = values_.find(std::string(key));
  if (found) *found = value != values_.end();
  if (value != values_.end()) return &value->second;
  if (!found) *status = error(key, "is missing");
  return nullptr;
}

std::string_view Gguf::string_at(size_t at) const {
  const uint64_t length = load<uint64_t>(text_.data() + at);
  return std::string_view(text_).substr(at + sizeof length, size_t(length));
}

bool Gguf::integer_at(const Value& value, uint64_t index, int64_t* out) const {
  const char* at = text_.data() + value.at + index * bytes_of(value.type);
  switch (value.type) {
    case Type::u8: *out = load<uint8_t>(at); return true;
    case Type::i8: *out = load<int8_t>(at); return true;
    case Type::u16: *out = load<uint16_t>(at); return true;
    case Type::i16: *out = load<int16_t>(at); return true;
    case Type::u32: *out = load<uint32_t>(at); return true;
    case Type::i32: *out = load<int32_t>(at); return true;
    case Type::i64: *out = load<int64_t>(at); return true;
    case Type::boolean: *out = *at != 0; return true;
    case Type::u64: *out = int64_t(load<uint64_t>(at)); return *out >= 0;
    case Type::f32:
    case Type::f64:
    case Type::string:
    case Type::array: break;
  }
  return false;
}

Status Gguf::get_integers(std::string_view key, int64_t low, int64_t high, std::vector<int64_t>* out, bool* found) const {
  Status status;
  const Value* value = find(key, found, &status);
  if (!value) return status;
  if (bytes_of(value->type) == 0) return error(key, "is no integer");
  if (value->count > kMaxItems) return error(key, "has too many items, " + std::to_string(value->count));
  out->clear();
  out->reserve(size_t(value->count));
  for (uint64_t i = 0; i < value->count; ++i) {
    int64_t item = 0;
    if (!integer_at(*value, i, &item)) return error(key, "is no integer");
    if (item < low || item > high)
      return error(key, "must be " + std::to_string(low) + " to " + std::to_string(high) + ", is " + std::to_string(item));
    out->push_back(item);
  }
  return {};
}

Status Gguf::get_integer(std::string_view key, int64_t low, int64_t high, int64_t* out, bool* found) const {
  std::vector<int64_t> items;
  if (is_array(key)) return error(key, "is an array, expected an integer");
  if (Status status = get_integers(key, low, high, &items, found); !status.ok()) return status;
  if (!items.empty()) *out = items[0];
  return {};
}

Status Gguf::get_number(std::string_view key, double low, double high, double* out, bool* found) const {
  Status status;
  const Value* value = find(key, found, &status);
  if (!value) return status;
  int64_t integer = 0;
  double number = 0;
  if (value->is_array) return error(key, "is an array, expected a number");
  if (value->type == Type::f32) {
    number = load<float>(text_.data() + value->at);
  } else if (value->type == Type::f64) {
    number = load<double>(text_.data() + value->at);
  } else if (value->type != Type::boolean && value->type != Type::string && integer_at(*value, 0, &integer)) {
    number = double(integer);
  } else {
    return error(key, "is no number");
  }
  if (!(number >= low && number <= high)) return error(key, "is out of range");
  *out = number;
  return {};
}

Status Gguf::get_string(std::string_view key, std::string_view* out, bool* found) const {
  Status status;
  const Value* value = find(key, found, &status);
  if (!value) return status;
  if (value->is_array || value->type != Type::string) return error(key, "is no string");
  *out = string_at(value->at);
  return {};
}

Status Gguf::get_strings(std::string_view key, std::vector<std::string_view>* out, bool* found) const {
  Status status;
  const Value* value = find(key, found, &status);
  if (!value) return status;
  if (!value->is_array || value->type != Type::string) return error(key, "is no array of strings");
  if (value->count > kMaxItems) return error(key, "has too many items, " + std::to_string(value->count));
  out->clear();
  out->reserve(size_t(value->count));
  size_t at = value->at;
  for (uint64_t i = 0; i < value->count; ++i) {
    out->push_back(string_at(at));
    at += sizeof(uint64_t) + out->back().size();
  }
  return {};
}

}  // namespace switchyard
