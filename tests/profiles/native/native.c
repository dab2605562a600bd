#include <Python.h>
#include <zlib.h>

static PyObject *crc32_of(PyObject *self, PyObject *argument)
{
    Py_buffer data;
    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    unsigned long sum = crc32(0, data.buf, (uInt)data.len);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(sum);
}

static PyMethodDef methods[] = {
    {"crc32", crc32_of, METH_O, "The sum that zlib makes of bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", NULL, -1, methods};

PyMODINIT_FUNC PyInit_native(void)
{
    PyObject *native = PyModule_Create(&module);
    if (native)
        PyModule_AddStringConstant(native, "python_prefix", PYTHON_PREFIX);
    return native;
}
