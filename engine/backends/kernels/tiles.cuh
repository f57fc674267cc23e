// Tiles of a lattice in shared memory: where they lie, how they are read and written.

#include "rate.cuh"

namespace scribble {

// Extents of a tile with its halo, and the halo on either side of each axis.
struct TileShape {
    unsigned int slabs;
    unsigned int rows;
    unsigned int columns;
    unsigned int halo_slabs;
    unsigned int halo_rows;
    unsigned int halo_columns;
};

// A tile in the lattice: the first site inside its halo, and whether an open boundary
// cuts it.
struct Tile {
    TileShape shape;
    Site origin;
    bool is_clipped;
};

// Arrays of a tile in shared memory, shape (count,) each; 16 bytes per node, or 24 for
// several stages.
struct TileFields {
    SineCosine* waves;
    unsigned int* phases;
    float* detunings;
    unsigned int* bases;
    float* totals;
};

SCRIBBLE_INLINE TileFields place_fields(void* memory, unsigned int count)
{
    SineCosine* waves = static_cast<SineCosine*>(memory);
    unsigned int* phases = reinterpret_cast<unsigned int*>(waves + count);
    float* detunings = reinterpret_cast<float*>(phases + count);
    unsigned int* bases = reinterpret_cast<unsigned int*>(detunings + count);
    return {waves, phases, detunings, bases, reinterpret_cast<float*>(bases + count)};
}

// Tell whether a tile reaches over an end of an open axis.
SCRIBBLE_INLINE bool is_cut(
    unsigned int origin, unsigned int cells, unsigned int inner, unsigned int halo,
    bool is_closed)
{
    return !is_closed && (origin < halo || origin + inner + halo > cells);
}

// Find the tile of this block; columns of tiles run fastest.
SCRIBBLE_INLINE Tile place_tile(const Box& box, const TileShape& shape)
{
    const unsigned int slabs = shape.slabs - 2 * shape.halo_slabs;
    const unsigned int rows = shape.rows - 2 * shape.halo_rows;
    const unsigned int columns = shape.columns - 2 * shape.halo_columns;
    const unsigned int across = (box.columns + columns - 1) / columns;
    const unsigned int down = (box.rows + rows - 1) / rows;
    const unsigned int line = blockIdx.x / across;
    const Site origin = {
        line / down * slabs, line % down * rows, blockIdx.x % across * columns};
    const bool is_clipped =
        is_cut(origin.slab, box.slabs, slabs, shape.halo_slabs, box.periodic & 1u) ||
        is_cut(origin.row, box.rows, rows, shape.halo_rows, box.periodic & 2u) ||
        is_cut(origin.column, box.columns, columns, shape.halo_columns,
               box.periodic & 4u);
    return {shape, origin, is_clipped};
}

// Return an index of an axis, brought back from any distance if the axis closes, or
// OUTSIDE.
SCRIBBLE_INLINE unsigned int wrap_index(int index, unsigned int cells, bool is_closed)
{
    if (static_cast<unsigned int>(index) < cells) {
        return static_cast<unsigned int>(index);
    }
    if (!is_closed) {
        return OUTSIDE;
    }
    const int rest = index % static_cast<int>(cells);
    return static_cast<unsigned int>(rest < 0 ? rest + static_cast<int>(cells) : rest);
}

// Return the node at a place of the tile, or OUTSIDE.
SCRIBBLE_INLINE unsigned int find_tile_node(
    const Box& box, const Tile& tile, unsigned int line, unsigned int column)
{
    const unsigned int z = line / tile.shape.rows;
    const unsigned int y = line - z * tile.shape.rows;
    const unsigned int slab =
        wrap_index(static_cast<int>(tile.origin.slab + z - tile.shape.halo_slabs),
                   box.slabs, box.periodic & 1u);
    const unsigned int row =
        wrap_index(static_cast<int>(tile.origin.row + y - tile.shape.halo_rows),
                   box.rows, box.periodic & 2u);
    const unsigned int place =
        wrap_index(static_cast<int>(tile.origin.column + column -
                                    tile.shape.halo_columns),
                   box.columns, box.periodic & 4u);
    if (slab == OUTSIDE || row == OUTSIDE || place == OUTSIDE) {
        return OUTSIDE;
    }
    return (slab * box.rows + row) * box.columns + place;
}

// Copy V words in one access; both addresses are multiples of it.
template <int V>
SCRIBBLE_INLINE void copy_words(const void* from, void* to)
{
    if constexpr (V == 4) {
        *static_cast<uint4*>(to) = *static_cast<const uint4*>(from);
    } else {
        *static_cast<unsigned int*>(to) = *static_cast<const unsigned int*>(from);
    }
}

// Read phases and detunings of a tile and its halo, V columns at a time, and make the
// sines and cosines of the first level.
template <int V>
SCRIBBLE_INLINE void load_tile(
    const unsigned int* phases, const float* detunings, const Box& box,
    const Tile& tile, const TileFields& fields)
{
    const unsigned int pieces = tile.shape.columns / V;
    const unsigned int count = pieces * tile.shape.rows * tile.shape.slabs;
    for (unsigned int piece = threadIdx.x; piece < count; piece += blockDim.x) {
        const unsigned int line = piece / pieces;
        const unsigned int node =
            find_tile_node(box, tile, line, (piece - line * pieces) * V);
        alignas(16) unsigned int phase[V];
        alignas(16) unsigned int detuning[V];
        if (node == OUTSIDE) {
#pragma unroll
            for (int k = 0; k < V; ++k) {
                phase[k] = 0u;
                detuning[k] = OUTSIDE_MARK;
            }
        } else {
            copy_words<V>(phases + node, phase);
            copy_words<V>(detunings + node, detuning);
        }
        copy_words<V>(phase, fields.phases + piece * V);
        copy_words<V>(detuning, fields.detunings + piece * V);
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const SineCosine wave = sine_cosine(phase[k]);
            const bool is_inside = node != OUTSIDE;
            fields.waves[piece * V + k] = {
                is_inside ? wave.sine : 0.0f, is_inside ? wave.cosine : 0.0f};
        }
    }
}

// Write the phases of a tile without its halo, V columns at a time.
template <int V>
SCRIBBLE_INLINE void store_tile(
    const Box& box, const Tile& tile, const TileFields& fields, unsigned int* out)
{
    const TileShape& shape = tile.shape;
    const unsigned int rows = shape.rows - 2 * shape.halo_rows;
    const unsigned int pieces = (shape.columns - 2 * shape.halo_columns) / V;
    const unsigned int count = pieces * rows * (shape.slabs - 2 * shape.halo_slabs);
    for (unsigned int piece = threadIdx.x; piece < count; piece += blockDim.x) {
        const unsigned int line = piece / pieces;
        const unsigned int z = line / rows;
        const unsigned int y = line - z * rows;
        const unsigned int x = (piece - line * pieces) * V;
        const Site site = {
            tile.origin.slab + z, tile.origin.row + y, tile.origin.column + x};
        if (site.slab < box.slabs && site.row < box.rows && site.column < box.columns) {
            const unsigned int place =
                ((z + shape.halo_slabs) * shape.rows + y + shape.halo_rows) *
                    shape.columns + x + shape.halo_columns;
            const unsigned int node =
                (site.slab * box.rows + site.row) * box.columns + site.column;
            copy_words<V>(fields.phases + place, out + node);
        }
    }
}

}  // namespace scribble
