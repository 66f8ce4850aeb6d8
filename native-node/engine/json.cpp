#include "json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <locale>
#include <new>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "read_file.h"

namespace switchyard::json {
namespace {

const char* describe(Type type) {
  switch (type) {
    case Type::missing: return "nothing";
    case Type::null: return "null";
    case Type::boolean: return "a boolean";
    case Type::number: return "a number";
    case Type::string: return "a string";
    case Type::array: return "an array";
    case Type::object: return "an object";
  }
  return "nothing";
}

// Keys come from the file: keep a hostile one from flooding or garbling a message.
std::string quoted(std::string_view text) {
  constexpr size_t kMaxShown = 60;
  std::string result = "\"";
  for (const char c : text.substr(0, kMaxShown)) result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return result + (text.size() > kMaxShown ? "...\"" : "\"");
}

// False when the number is beyond a double, at either end.
bool parse_double(std::string_view text, double* out) {
#if defined(__cpp_lib_to_chars)
  return std::from_chars(text.data(), text.data() + text.size(), *out).ec == std::errc();
#else  // strtod would follow the process's locale
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  return static_cast<bool>(stream >> *out) && std::isfinite(*out);
#endif
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Bytes of the valid UTF-8 sequence at text[at], 0 when there is none (overlong, surrogate, beyond U+10FFFF, cut off).
size_t utf8_length(const char* text, size_t left) {
  const auto* byte = reinterpret_cast<const unsigned char*>(text);
  const unsigned char lead = byte[0];
  const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length < 2) return length;
  if (length > left) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((byte[i] & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xE0 && byte[1] < 0xA0) return 0;
  if (lead == 0xED && byte[1] > 0x9F) return 0;
  if (lead == 0xF0 && byte[1] < 0x90) return 0;
  if (lead == 0xF4 && byte[1] > 0x8F) return 0;
  return length;
}

char* append_utf8(char* out, uint32_t point) {
  if (point < 0x80) {
    *out++ = static_cast<char>(point);
  } else if (point < 0x800) {
    *out++ = static_cast<char>(0xC0 | point >> 6);
    *out++ = static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    *out++ = static_cast<char>(0xE0 | point >> 12);
    *out++ = static_cast<char>(0x80 | (point >> 6 & 0x3F));
    *out++ = static_cast<char>(0x80 | (point & 0x3F));
  } else {
    *out++ = static_cast<char>(0xF0 | point >> 18);
    *out++ = static_cast<char>(0x80 | (point >> 12 & 0x3F));
    *out++ = static_cast<char>(0x80 | (point >> 6 & 0x3F));
    *out++ = static_cast<char>(0x80 | (point & 0x3F));
  }
  return out;
}

}  // namespace

// Recursive descent over the text, which it also rewrites: an unescaped string is never longer than its source.
class Parser {
 public:
  explicit Parser(Document* document)
      : document_(*document), text_(document->text_.data()), size_(document->text_.size()) {}

  Status run() {
    if (!value(0) || (skip_space(), at_ != size_ && !fail("text after the end of the value"))) return status_;
    return {};
  }

 private:
  // Every step returns false once status_ is set.
  bool fail(const char* what) {
    status_ = Status::error(Code::invalid_file, document_.name_ + ", byte " + std::to_string(at_) + ": " +
                                                    (at_ >= size_ ? "the text ends too early" : what));
    return false;
  }

  void skip_space() {
    while (at_ < size_ && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) at_++;
  }

  bool take(char wanted) {
    skip_space();
    if (at_ >= size_ || text_[at_] != wanted) return false;
    at_++;
    return true;
  }

  uint32_t open_node(Type type) {
    Document::Node node;
    node.offset = static_cast<uint32_t>(at_);
    node.type = type;
    document_.nodes_.push_back(node);
    return static_cast<uint32_t>(document_.nodes_.size() - 1);
  }

  void close_node(uint32_t index, size_t length) {
    document_.nodes_[index].length = static_cast<uint32_t>(length);
    document_.nodes_[index].next = static_cast<uint32_t>(document_.nodes_.size());
  }

  bool value(int depth) {
    skip_space();
    if (at_ >= size_) return fail("");
    switch (text_[at_]) {
      case '{': return depth < kMaxDepth ? object(depth) : fail("nested too deep");
      case '[': return depth < kMaxDepth ? array(depth) : fail("nested too deep");
      case '"': return string();
      case 't': return literal("true", Type::boolean);
      case 'f': return literal("false", Type::boolean);
      case 'n': return literal("null", Type::null);
      default: return number();
    }
  }

  bool object(int depth) {
    const uint32_t node = open_node(Type::object);
    size_t count = 0;
    at_++;
    if (!take('}')) {
      do {
        skip_space();
        if (at_ >= size_ || text_[at_] != '"') return fail("expected a key in quotes");
        if (!string()) return false;
        if (!take(':')) return fail("expected ':'");
        const size_t child = document_.nodes_.size();
        if (!value(depth + 1)) return false;
        document_.nodes_[child].is_member = true;
        count++;
      } while (take(','));
      if (!take('}')) return fail("expected ',' or '}'");
    }
    close_node(node, count);
    return keys_differ(node, count);
  }

  bool array(int depth) {
    const uint32_t node = open_node(Type::array);
    size_t count = 0;
    at_++;
    if (!take(']')) {
      do {
        if (!value(depth + 1)) return false;
        count++;
      } while (take(','));
      if (!take(']')) return fail("expected ',' or ']'");
    }
    close_node(node, count);
    return true;
  }

  bool literal(std::string_view word, Type type) {
    if (std::string_view(text_ + at_, size_ - at_).substr(0, word.size()) != word) return fail("not a JSON value");
    const uint32_t node = open_node(type);
    at_ += word.size();
    close_node(node, word.size());
    return true;
  }

  bool digits() {
    if (at_ >= size_ || !is_digit(text_[at_])) return fail("not a JSON value");
    while (at_ < size_ && is_digit(text_[at_])) at_++;
    return true;
  }

  bool number() {
    const uint32_t node = open_node(Type::number);
    const size_t start = at_;
    bool has_exponent = false;
    if (text_[at_] == '-') at_++;
    if (at_ + 1 < size_ && text_[at_] == '0' && is_digit(text_[at_ + 1])) return fail("a number starts with 0");
    if (!digits()) return false;
    if (at_ < size_ && text_[at_] == '.') {
      at_++;
      if (!digits()) return false;
    }
    if (at_ < size_ && (text_[at_] == 'e' || text_[at_] == 'E')) {
      has_exponent = true;
      at_++;
      if (at_ < size_ && (text_[at_] == '+' || text_[at_] == '-')) at_++;
      if (!digits()) return false;
    }
    const size_t length = at_ - start;
    double ignored = 0;
    // Only these can leave the range of a double; the others need no conversion here.
    if ((has_exponent || length > 300) && !parse_double({text_ + start, length}, &ignored)) {
      at_ = start;
      return fail("a number beyond the range of a double");
    }
    close_node(node, length);
    return true;
  }

  bool string() {
    const uint32_t node = open_node(Type::string);
    const size_t start = ++at_;
    while (at_ < size_ && is_plain(text_[at_])) at_++;
    char* out = text_ + at_;
    for (;;) {
      if (at_ >= size_) return fail("");
      const char c = text_[at_];
      if (c == '"') break;
      if (c == '\\') {
        if (!escape(&out)) return false;
      } else if (is_plain(c)) {
        *out++ = c;
        at_++;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        return fail("a control character in a string");
      } else {
        const size_t length = utf8_length(text_ + at_, size_ - at_);
        if (length == 0) return fail("invalid UTF-8 in a string");
        std::memmove(out, text_ + at_, length);
        out += length;
        at_ += length;
      }
    }
    at_++;
    close_node(node, static_cast<size_t>(out - (text_ + start)));
    return true;
  }

  static bool is_plain(char c) { return c >= 0x20 && c != '"' && c != '\\' && static_cast<unsigned char>(c) < 0x80; }

  bool escape(char** out) {
    at_++;
    if (at_ >= size_) return fail("");
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (const size_t index = kFrom.find(text_[at_]); index != std::string_view::npos) {
      *(*out)++ = kTo[index];
      at_++;
      return true;
    }
    uint32_t point = 0;
    if (text_[at_] != 'u') return fail("an unknown escape in a string");
    if (!unit(&point)) return false;
    if (point >= 0xDC00 && point < 0xE000) return fail("half of a surrogate pair in a string");
    if (point >= 0xD800 && point < 0xDC00) {
      uint32_t low = 0;
      if (at_ + 1 >= size_ || text_[at_] != '\\' || text_[at_ + 1] != 'u') {
        return fail("half of a surrogate pair in a string");
      }
      at_++;
      if (!unit(&low)) return false;
      if (low < 0xDC00 || low >= 0xE000) return fail("half of a surrogate pair in a string");
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    *out = append_utf8(*out, point);
    return true;
  }

  // "uXXXX" at the place.
  bool unit(uint32_t* point) {
    at_++;
    *point = 0;
    for (int i = 0; i < 4; i++, at_++) {
      const int digit = at_ < size_ ? hex_value(text_[at_]) : -1;
      if (digit < 0) return fail("expected four hex digits in a string");
      *point = *point << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  }

  // A key given twice means different things to different readers. By hash, since a vocabulary has 200,000 of them.
  bool keys_differ(uint32_t node, size_t count) {
    if (count < 2) return true;
    struct Key {
      size_t hash;
      std::string_view text;
      uint32_t offset;
    };
    std::vector<Key> keys;
    keys.reserve(count);
    for (uint32_t key = node + 1; keys.size() < count; key = document_.nodes_[key + 1].next) {
      const std::string_view text = document_.text_of(key);
      keys.push_back({std::hash<std::string_view>()(text), text, document_.nodes_[key].offset});
    }
    std::sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) {
      return a.hash != b.hash ? a.hash < b.hash : a.text != b.text ? a.text < b.text : a.offset < b.offset;
    });
    for (size_t i = 1; i < keys.size(); i++) {
      if (keys[i].hash != keys[i - 1].hash || keys[i].text != keys[i - 1].text) continue;
      at_ = keys[i].offset;
      return fail(("the key " + quoted(keys[i].text) + " is given twice").c_str());
    }
    return true;
  }

  Document& document_;
  char* text_;
  size_t size_;
  size_t at_ = 0;
  Status status_;
};

std::string_view Document::text_of(uint32_t node) const {
  const Node& entry = nodes_[node];
  return {text_.data() + entry.offset + (entry.type == Type::string ? 1 : 0), entry.length};
}

Status Document::parse(std::string text, std::string name, std::unique_ptr<Document>* out) {
  if (text.size() >= std::numeric_limits<uint32_t>::max()) {
    return Status::error(Code::invalid_file, name + ": larger than 4 GiB");
  }
  try {
    std::unique_ptr<Document> document(new Document());
    document->text_ = std::move(text);
    document->name_ = std::move(name);
    document->nodes_.reserve(std::min<size_t>(document->text_.size() / 8, 1 << 22));
    if (Status status = Parser(document.get()).run(); !status.ok()) return status;
    *out = std::move(document);
    return {};
  } catch (const std::exception&) {  // bad_alloc or length_error: the index may need eight times the text
    return Status::error(Code::out_of_memory, "no memory to read JSON");
  }
}

Status Document::load(const std::string& path, uint64_t max_bytes, std::unique_ptr<Document>* out) {
  std::string text;
  if (Status status = read_file(path, max_bytes, &text); !status.ok()) return status;
  return parse(std::move(text), path, out);
}

Type Value::type() const { return document_ ? document_->nodes_[node_].type : Type::missing; }

size_t Value::size() const {
  return type() == Type::object || type() == Type::array ? document_->nodes_[node_].length : 0;
}

size_t Value::offset() const { return document_ ? document_->nodes_[node_].offset : 0; }

Status Value::error(const std::string& what) const {
  if (!document_) return Status::error(Code::invalid_file, what);
  std::string place = document_->name_ + ", byte " + std::to_string(offset());
  if (document_->nodes_[node_].is_member) place += ", " + quoted(document_->text_of(node_ - 1));
  return Status::error(Code::invalid_file, place + ": " + what);
}

Status Value::expect(Type wanted) const {
  if (type() == wanted) return {};
  return error(std::string("expected ") + describe(wanted) + ", found " + describe(type()));
}

Status Value::get(bool* out) const {
  if (Status status = expect(Type::boolean); !status.ok()) return status;
  *out = document_->text_of(node_) == "true";
  return {};
}

Status Value::get(int64_t* out) const {
  if (Status status = expect(Type::number); !status.ok()) return status;
  const std::string_view text = document_->text_of(node_);
  int64_t whole = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (code == std::errc() && end == text.data() + text.size()) {
    *out = whole;
    return {};
  }
  double number = 0;
  constexpr double kExact = 9007199254740992.0;  // 2^53: every integer below has its own double
  if (!parse_double(text, &number) || std::floor(number) != number || std::fabs(number) >= kExact) {
    return error("expected an integer of 64 bits, found " + std::string(text.substr(0, 40)));
  }
  *out = static_cast<int64_t>(number);
  return {};
}

Status Value::get(int32_t* out) const {
  int64_t whole = 0;
  if (Status status = get(&whole); !status.ok()) return status;
  if (whole < std::numeric_limits<int32_t>::min() || whole > std::numeric_limits<int32_t>::max()) {
    return error("expected an integer of 32 bits, found " + std::to_string(whole));
  }
  *out = static_cast<int32_t>(whole);
  return {};
}

Status Value::get(double* out) const {
  if (Status status = expect(Type::number); !status.ok()) return status;
  double number = 0;
  if (!parse_double(document_->text_of(node_), &number)) return error("expected a number a double can hold");
  *out = number;
  return {};
}

Status Value::get(std::string_view* out) const {
  if (Status status = expect(Type::string); !status.ok()) return status;
  *out = document_->text_of(node_);
  return {};
}

Status Value::get(std::string* out) const {
  std::string_view view;
  if (Status status = get(&view); !status.ok()) return status;
  *out = view;
  return {};
}

Value Value::find(std::string_view key) const {
  for (const Member member : members()) {
    if (member.key == key) return member.value;
  }
  return {};
}

Status Value::get(std::string_view key, Value* out) const {
  if (Status status = expect(Type::object); !status.ok()) return status;
  const Value found = find(key);
  if (!found) return error("the field " + quoted(key) + " is missing");
  *out = found;
  return {};
}

}  // namespace switchyard::json
