/* What is at the Locations of requests, found for a whole batch at once: the quick one of lwm2md.coap.places.
 *
 * RULES: a mapping of bytes to objects, a table with linear probing of which at most three quarters are taken. What a
 * processor does not have at hand of a million Locations takes it longer to fetch than all else takes that is done for
 * an Update. So `find_all` asks it for that of many datagrams before it looks at any, and for what the first members
 * of the objects are, where those of often used ones are kept. To fetch what turns out to be no address does no harm;
 * nothing is read but objects. Only names of the stable ABI are used.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST = 64, MOST = 64, MEMBERS = 5, HEADER = 4, POST = 2, LINE = 64 };

typedef struct {
    uint64_t hash;
    PyObject *key, *value; /* NULL in a place that is free */
} Slot;

typedef struct {
    PyObject_HEAD
    Slot *slots;
    size_t mask;
    Py_ssize_t used;
    PyObject *type;     /* of what was put last */
    Py_ssize_t members; /* words behind the head of every object that was put, but no more than are of interest */
} Places;

/* A table in which nothing was put yet; it is never written. */
static Slot nothing[1];

/* Names are the server's own, and random: nobody can choose such that meet. */
static uint64_t hash_of(const char *bytes, size_t length) {
    uint64_t hash = length, word;
    for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, bytes, length);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static int is_key(const Slot *slot, uint64_t hash, const char *bytes, size_t length) {
    return slot->hash == hash && (size_t)PyBytes_Size(slot->key) == length &&
           !memcmp(PyBytes_AsString(slot->key), bytes, length);
}

/* The slot of a key, or the free one where it would be. */
static Slot *slot_of(const Places *self, uint64_t hash, const char *bytes, size_t length) {
    size_t at = (size_t)hash & self->mask;
    while (self->slots[at].key && !is_key(&self->slots[at], hash, bytes, length)) at = (at + 1) & self->mask;
    return &self->slots[at];
}

/* The slot of a key that is an argument; NULL with an exception if it is none. */
static Slot *slot_of_argument(const Places *self, PyObject *key, uint64_t *hash) {
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(key, &bytes, &length)) return NULL;
    *hash = hash_of(bytes, (size_t)length);
    return slot_of(self, *hash, bytes, (size_t)length);
}

static int resize(Places *self, size_t size) {
    Slot *slots = calloc(size, sizeof *slots), *old = self->slots;
    size_t i, at, count = self->mask + 1;
    if (!slots) {
        PyErr_NoMemory();
        return -1;
    }
    self->mask = size - 1;
    for (i = 0; i < count; i++) {
        if (!old[i].key) continue;
        for (at = (size_t)old[i].hash & self->mask; slots[at].key; at = (at + 1) & self->mask) {}
        slots[at] = old[i];
    }
    self->slots = slots;
    if (old != nothing) free(old);
    return 0;
}

/* Free a slot; those behind it that would be there if it had been free move up. */
static void take_out(Places *self, Slot *slot) {
    size_t hole = (size_t)(slot - self->slots), at = hole;
    self->used--;
    for (;;) {
        at = (at + 1) & self->mask;
        if (!self->slots[at].key) break;
        size_t home = (size_t)self->slots[at].hash & self->mask;
        if (((at - home) & self->mask) >= ((at - hole) & self->mask)) {
            self->slots[hole] = self->slots[at];
            hole = at;
        }
    }
    self->slots[hole].key = self->slots[hole].value = NULL;
}

/* Learn from an object's type how much of it may be read; -1 with an exception. */
static int learn(Places *self, PyObject *value) {
    PyObject *type = (PyObject *)Py_TYPE(value), *size, *before = self->type;
    if (type == before) return 0;
    if (!(size = PyObject_GetAttrString(type, "__basicsize__"))) return -1;
    Py_ssize_t bytes = PyLong_AsSsize_t(size), members = (bytes - (Py_ssize_t)sizeof(PyObject)) / (Py_ssize_t)sizeof(void *);
    Py_DECREF(size);
    if (bytes < 0) return -1;
    if (members < self->members) self->members = members;
    self->type = Py_NewRef(type);
    Py_XDECREF(before);
    return 0;
}

static int put(PyObject *object, PyObject *key, PyObject *value) {
    Places *self = (Places *)object;
    size_t size = self->mask + 1;
    uint64_t hash;
    if (!value) {
        PyErr_SetString(PyExc_TypeError, "nothing is deleted but by pop");
        return -1;
    }
    if (learn(self, value)) return -1;
    if ((size_t)(self->used + 1) * 4 > size * 3 && resize(self, size < FEWEST ? FEWEST : size * 2)) return -1;
    Slot *slot = slot_of_argument(self, key, &hash);
    if (!slot) return -1;
    if (slot->key) {
        PyObject *old = slot->value;
        slot->value = Py_NewRef(value);
        Py_DECREF(old); /* it may have code of its own: the table is in order by now */
    } else {
        *slot = (Slot){hash, Py_NewRef(key), Py_NewRef(value)};
        self->used++;
    }
    return 0;
}

PyDoc_STRVAR(get_doc, "get(key)\n--\n\nReturn what is at a Location, None if nothing is.");

static PyObject *get(PyObject *object, PyObject *key) {
    uint64_t hash;
    Slot *slot = slot_of_argument((Places *)object, key, &hash);
    if (!slot) return NULL;
    return Py_NewRef(slot->key ? slot->value : Py_None);
}

PyDoc_STRVAR(pop_doc, "pop(key, default, /)\n--\n\nForget what is at a Location, and return it; `default` if nothing is.");

static PyObject *pop(PyObject *object, PyObject *arguments) {
    Places *self = (Places *)object;
    PyObject *key, *other, *value;
    uint64_t hash;
    if (!PyArg_ParseTuple(arguments, "OO:pop", &key, &other)) return NULL;
    Slot *slot = slot_of_argument(self, key, &hash);
    if (!slot) return NULL;
    if (!slot->key) return Py_NewRef(other);
    key = slot->key;
    value = slot->value;
    take_out(self, slot);
    Py_DECREF(key);
    return value;
}

/* Put what is found for some datagrams of a batch into the list; -1 with an exception. */
static int find_some(const Places *self, PyObject *batch, PyObject *list, Py_ssize_t first, Py_ssize_t count) {
    const char *keys[MOST];
    size_t lengths[MOST];
    uint64_t hashes[MOST] = {0};
    PyObject *found[MOST];
    Py_ssize_t i;
    for (i = 0; i < count; i++) {
        PyObject *pair = PyList_GetItem(batch, first + i);
        PyObject *data = pair && PyTuple_Check(pair) && PyTuple_Size(pair) ? PyTuple_GetItem(pair, 0) : NULL;
        char *bytes;
        Py_ssize_t size;
        keys[i] = NULL;
        if (!data) {
            PyErr_SetString(PyExc_TypeError, "a batch is a list of tuples that begin with bytes");
            return -1;
        }
        if (PyBytes_AsStringAndSize(data, &bytes, &size)) return -1;
        Py_ssize_t head = size < 2 ? size : HEADER + (bytes[0] & 15);
        /* Confirmable POSTs of version 1 with a token of up to 8 bytes. */
        if (size <= head || (unsigned char)bytes[0] < 0x40 || (unsigned char)bytes[0] > 0x48 || bytes[1] != POST) continue;
        keys[i] = bytes + head;
        lengths[i] = (size_t)(size - head);
        hashes[i] = hash_of(keys[i], lengths[i]);
        __builtin_prefetch(&self->slots[(size_t)hashes[i] & self->mask]);
    }
    for (i = 0; i < count; i++) {
        size_t at = (size_t)hashes[i] & self->mask;
        if (!keys[i]) continue;
        while (self->slots[at].key && self->slots[at].hash != hashes[i]) at = (at + 1) & self->mask;
        if (!self->slots[at].key) continue;
        __builtin_prefetch((char *)self->slots[at].key + LINE / 2);
        __builtin_prefetch(self->slots[at].value);
        __builtin_prefetch((char *)self->slots[at].value + LINE);
    }
    for (i = 0; i < count; i++) {
        Slot *slot = keys[i] ? slot_of(self, hashes[i], keys[i], lengths[i]) : NULL;
        found[i] = slot && slot->key ? slot->value : Py_None;
        PyList_SetItem(list, first + i, Py_NewRef(found[i]));
    }
    for (i = 0; i < count; i++) {
        char **member = (char **)(found[i] + 1), **end = member + (Py_IsNone(found[i]) ? 0 : self->members);
        for (; member < end; member++) {
            __builtin_prefetch(*member);
            __builtin_prefetch(*member + LINE);
        }
    }
    return 0;
}

PyDoc_STRVAR(find_all_doc, "find_all(batch)\n--\n\nReturn for each datagram what is at the Location that it names, or None.");

static PyObject *find_all(PyObject *object, PyObject *batch) {
    Py_ssize_t first, count, most;
    if (!PyList_Check(batch)) return PyErr_Format(PyExc_TypeError, "a batch is a list");
    PyObject *list = PyList_New(count = PyList_Size(batch));
    for (first = 0; list && first < count; first += MOST) {
        most = count - first < MOST ? count - first : MOST;
        if (find_some((Places *)object, batch, list, first, most)) Py_CLEAR(list);
    }
    return list;
}

static Py_ssize_t length(PyObject *object) { return ((Places *)object)->used; }

static int traverse(PyObject *object, visitproc visit, void *arg) {
    Places *self = (Places *)object;
    size_t i;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->type);
    for (i = 0; i <= self->mask; i++) Py_VISIT(self->slots[i].value);
    return 0;
}

static int clear(PyObject *object) {
    Places *self = (Places *)object;
    Slot *slots = self->slots;
    size_t i, mask = self->mask;
    self->slots = nothing;
    self->mask = 0;
    self->used = 0;
    self->members = MEMBERS;
    Py_CLEAR(self->type);
    if (slots == nothing) return 0;
    for (i = 0; i <= mask; i++) {
        Py_XDECREF(slots[i].key);
        Py_XDECREF(slots[i].value);
    }
    free(slots);
    return 0;
}

static void deallocate(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *make(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    static char *none[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(arguments, named, ":Places", none)) return NULL;
    Places *self = (Places *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    self->slots = nothing;
    self->members = MEMBERS;
    return (PyObject *)self;
}

PyDoc_STRVAR(places_doc, "Places()\n--\n\nWhat is at Locations.");

static PyMethodDef methods[] = {
    {"get", get, METH_O, get_doc},
    {"pop", pop, METH_VARARGS, pop_doc},
    {"find_all", find_all, METH_O, find_all_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)places_doc},
    {Py_tp_new, make},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {Py_mp_length, length},
    {Py_mp_ass_subscript, put},
    {0, NULL},
};

static PyType_Spec specification = {
    .name = "lwm2md.coap._places.Places",
    .basicsize = sizeof(Places),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_places",
    .m_doc = "What is at the Locations of requests, found for a whole batch at once.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__places(void) {
    PyObject *module = PyModule_Create(&definition), *type = PyType_FromSpec(&specification);
    if (!module || !type || PyModule_AddObjectRef(module, "Places", type)) Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
