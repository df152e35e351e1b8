#include "training/checkpoint.hpp"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "support/error.hpp"
#include "support/files.hpp"
#include "support/json.hpp"

namespace osc::program {
namespace {

// Version 2 renamed tensors: embedding.what to embedding.category, embedding.which to
// embedding.instance.
constexpr std::string_view kFormat = "osc-checkpoint-2";
constexpr std::string_view kOlderFormat = "osc-checkpoint-1";
constexpr std::string_view kNoChecksum = "00000000";  // in the header while the checksum is taken
constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);
static_assert(std::endian::native == std::endian::little, "the format is little-endian");

std::string checksum_of(std::string_view bytes) {
  uLong sum = crc32_z(0, nullptr, 0);
  sum = crc32_z(sum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  char text[9];
  std::snprintf(text, sizeof text, "%08lx", static_cast<unsigned long>(sum));
  return text;
}

// Where the checksum's eight digits stand in the header.
std::size_t checksum_position(std::string_view header) {
  constexpr std::string_view kKey = "\"crc32\":\"";
  const std::size_t at = header.find(kKey);
  return at == std::string_view::npos || at + kKey.size() + kNoChecksum.size() > header.size()
             ? std::string_view::npos
             : at + kKey.size();
}

torch::Dtype dtype_of(const std::string& name) {
  if (name == "F32") return torch::kFloat32;
  if (name == "I64") return torch::kInt64;
  throw UserError("holds a tensor of type " + name + ", wanted F32 or I64");
}

// Whether a tensor of this shape has the size of its data in the file, `bytes`. Checked before
// memory is allocated.
bool has_bytes(const std::vector<std::int64_t>& shape, std::uint64_t element_bytes,
               std::uint64_t bytes) {
  std::uint64_t size = element_bytes;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) size = 0;
  for (const std::int64_t length : shape) {
    if (length < 0 || (size > 0 && static_cast<std::uint64_t>(length) > bytes / size)) return false;
    size *= static_cast<std::uint64_t>(length);
  }
  return size == bytes;
}

// Sizes, or positions in the file. The JSON library would convert a fraction, and a number that no
// integer can hold.
std::vector<std::int64_t> whole_numbers(const nlohmann::json& list) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!list.is_array())
    throw UserError("is malformed: its header has " + list.dump() +
                    " for a list of sizes or positions");
  std::vector<std::int64_t> numbers;
  for (const nlohmann::json& item : list) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > kMost)
      throw UserError("is malformed: its header has " + item.dump() + " for a size or a position");
    numbers.push_back(item.get<std::int64_t>());
  }
  return numbers;
}

Checkpoint decode(std::string bytes) {
  if (bytes.size() < kLengthBytes)
    throw UserError("is truncated: " + std::to_string(bytes.size()) + " bytes");
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), kLengthBytes);
  if (header_size > bytes.size() - kLengthBytes)
    throw UserError("is truncated, or not an osc checkpoint");
  const std::string_view header = std::string_view(bytes).substr(kLengthBytes, header_size);
  const nlohmann::json json = parse_json(header);
  const std::size_t position = checksum_position(header);
  std::string format;
  if (json.is_object() && json.contains("__metadata__"))
    format = json["__metadata__"].value("format", "");
  if (format == kOlderFormat)
    throw UserError("has the older format " + format + ", wanted " + std::string(kFormat) +
                    ": train the run again, or use the osc that wrote it");
  if (format != kFormat || position == std::string_view::npos)
    throw UserError("is not an osc checkpoint");
  const std::string checksum(header.substr(position, kNoChecksum.size()));
  bytes.replace(kLengthBytes + position, kNoChecksum.size(), kNoChecksum);
  if (checksum_of(bytes) != checksum)
    throw UserError("is truncated or altered: its checksum does not match");

  Checkpoint checkpoint;
  const std::string_view data = std::string_view(bytes).substr(kLengthBytes + header_size);
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      checkpoint.metadata = entry.get<std::map<std::string, std::string>>();
      continue;
    }
    const std::vector<std::int64_t> shape = whole_numbers(entry.at("shape")),
                                    range = whole_numbers(entry.at("data_offsets"));
    const torch::Dtype dtype = dtype_of(entry.at("dtype"));
    if (range.size() != 2) throw UserError("is malformed at tensor " + name);
    const auto first = static_cast<std::uint64_t>(range[0]),
               last = static_cast<std::uint64_t>(range[1]);
    if (last > data.size() || first > last ||
        !has_bytes(shape, torch::elementSize(dtype), last - first))
      throw UserError("is malformed at tensor " + name);
    torch::Tensor tensor = torch::empty(shape, dtype);
    if (first < last) std::memcpy(tensor.data_ptr(), data.data() + first, last - first);
    checkpoint.tensors.emplace(name, std::move(tensor));
  }
  checkpoint.metadata.erase("format");
  checkpoint.metadata.erase("crc32");
  return checkpoint;
}

}  // namespace

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  nlohmann::json header;
  header["__metadata__"] = checkpoint.metadata;
  header["__metadata__"]["format"] = kFormat;
  header["__metadata__"]["crc32"] = kNoChecksum;
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    TORCH_CHECK(tensor.dtype() == torch::kFloat32 || tensor.dtype() == torch::kInt64,
                "checkpoint: tensor ", name, " is ", tensor.dtype());
    header[name] = {{"dtype", tensor.dtype() == torch::kFloat32 ? "F32" : "I64"},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, offset + tensor.nbytes()}}};
    offset += tensor.nbytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes,
              ' ');  // the format aligns the data to 8 bytes
  const std::uint64_t header_size = text.size();
  std::string bytes(reinterpret_cast<const char*>(&header_size), kLengthBytes);
  bytes += text;
  bytes.reserve(bytes.size() + offset);
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const torch::Tensor flat = tensor.contiguous();
    bytes.append(static_cast<const char*>(flat.data_ptr()), flat.nbytes());
  }
  bytes.replace(kLengthBytes + checksum_position(text), kNoChecksum.size(), checksum_of(bytes));
  write_file_atomically(path, bytes);
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  try {
    return decode(bytes);
  } catch (const UserError& error) {
    throw UserError(path.string() + " " + error.what());
  } catch (const std::exception&) {  // a header of the right format with wrong contents: the JSON
                                     // library's or libtorch's own words say little to a user
    throw UserError(path.string() + " is malformed");
  }
}

}  // namespace osc::program
