"""Everyday words and sentences around the drawn world, for translators that meet more than the world.

Knows what people ask a picture for (animals, people, food, rooms, streets), and signs and small talk. Knows nothing of
how sentences are built or of models. Every English word here has one Spanish word and the other way round; the
synonyms stand apart, because they hold in one direction only.
"""

from training.lexicon import Colour, Kind
from training.phrases import Phrase


def _english_plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


_IRREGULAR_PLURALS = {"paraguas": "paraguas", "robot": "robots"}


def _spanish_plural(noun: str) -> str:
    if noun in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[noun]
    if noun.endswith("z"):
        return noun[:-1] + "ces"
    for stressed, plain in (("ón", "on"), ("án", "an"), ("ín", "in"), ("ús", "us")):
        if noun.endswith(stressed):
            return noun.removesuffix(stressed) + plain + "es"
    return noun + ("s" if noun[-1] in "aeiouáé" else "es")


def _nouns(table: dict[str, str], gender: str) -> tuple[Kind, ...]:
    """Nouns of one gender; an English plural that is no rule's stands behind a slash."""
    kinds = []
    for english, spanish in table.items():
        singular, _, plural = english.partition("/")
        kinds.append(
            Kind(
                singular,
                plural or _english_plural(singular),
                spanish,
                _spanish_plural(spanish),
                "m" if gender == "m" else "f",
            )
        )
    return tuple(kinds)


def _adjective(english: str, masculine: str) -> Colour:
    """An adjective that agrees by the rules: "-o" has four forms, "-or" adds an a, any other one has two."""
    if masculine.endswith("o"):
        stem = masculine[:-1]
        return Colour(english, masculine, stem + "a", stem + "os", stem + "as")
    plural = masculine + ("s" if masculine[-1] in "aeé" else "es")
    return Colour(english, masculine, masculine, plural, plural)


PEOPLE: tuple[Kind, ...] = (
    *_nouns({"man/men": "hombre", "boy": "niño", "baby/babies": "bebé", "farmer": "granjero", "cook": "cocinero"}, "m"),
    *_nouns({"woman/women": "mujer", "girl": "niña", "person/people": "persona", "teacher": "profesora"}, "f"),
)

_MASCULINE = {
    "cat": "gato", "dog": "perro", "horse": "caballo", "bird": "pájaro", "elephant": "elefante", "bear": "oso",
    "lion": "león", "tiger": "tigre", "monkey": "mono", "rabbit": "conejo", "mouse/mice": "ratón", "duck": "pato",
    "pig": "cerdo", "donkey": "burro", "dolphin": "delfín", "shark": "tiburón", "insect": "insecto",
    "car": "coche", "bus": "autobús", "truck": "camión", "train": "tren", "plane": "avión", "taxi": "taxi",
    "helicopter": "helicóptero", "tractor": "tractor", "traffic light": "semáforo", "bench": "banco",
    "sign": "letrero", "bridge": "puente", "building": "edificio", "castle": "castillo", "garden": "jardín",
    "park": "parque", "forest": "bosque", "river": "río", "lake": "lago", "field": "campo",
    "sky": "cielo", "sun": "sol", "book": "libro", "notebook": "cuaderno", "pencil": "lápiz", "pen": "bolígrafo",
    "computer": "ordenador", "keyboard": "teclado", "phone": "teléfono", "clock": "reloj", "glass": "vaso",
    "plate": "plato", "fork": "tenedor", "knife/knives": "cuchillo", "bowl": "cuenco", "oven": "horno",
    "refrigerator": "frigorífico", "sofa": "sofá", "armchair": "sillón", "mirror": "espejo", "vase": "florero",
    "umbrella": "paraguas", "hat": "sombrero", "shoe": "zapato", "coat": "abrigo", "dress": "vestido",
    "glove": "guante", "helmet": "casco", "toy": "juguete", "bread": "pan", "cheese": "queso", "egg": "huevo",
    "tomato/tomatoes": "tomate", "lemon": "limón", "melon": "melón", "cake": "pastel", "sandwich": "bocadillo",
    "ice cream": "helado", "coffee": "café", "juice": "zumo", "pepper": "pimiento", "circle": "círculo",
    "square": "cuadrado", "triangle": "triángulo", "rectangle": "rectángulo", "cube": "cubo", "drawing": "dibujo",
    "number": "número", "piano": "piano", "violin": "violín", "drum": "tambor", "hammer": "martillo",
    "screw": "tornillo", "nail": "clavo", "robot": "robot", "balloon": "globo", "rocket": "cohete", "wall": "muro",
    "floor": "suelo", "roof": "tejado", "finger": "dedo", "eye": "ojo", "foot/feet": "pie", "arm": "brazo",
    "cupboard": "armario", "painting": "cuadro", "airport": "aeropuerto", "animal": "animal", "object": "objeto",
    "dot": "punto", "snail": "caracol", "whistle": "silbato", "swan": "cisne",
    "parrot": "loro", "crab": "cangrejo", "dinosaur": "dinosaurio", "dragon": "dragón",
}  # fmt: skip
_FEMININE = {
    "cow": "vaca", "sheep/sheep": "oveja", "goat": "cabra", "giraffe": "jirafa", "zebra": "cebra", "hen": "gallina",
    "butterfly": "mariposa", "bee": "abeja", "spider": "araña", "snake": "serpiente", "turtle": "tortuga",
    "whale": "ballena", "ant": "hormiga", "pigeon": "paloma", "frog": "rana", "bicycle": "bicicleta",
    "motorcycle": "motocicleta", "van": "furgoneta", "street": "calle", "road": "carretera", "church": "iglesia",
    "school": "escuela",
    "tower": "torre", "shop": "tienda", "city": "ciudad", "beach": "playa", "mountain": "montaña", "island": "isla",
    "cloud": "nube", "flower": "flor", "rose": "rosa", "leaf/leaves": "hoja", "plant": "planta", "stone": "piedra",
    "chair": "silla", "table": "mesa", "bed": "cama", "lamp": "lámpara", "door": "puerta", "window": "ventana",
    "room": "habitación", "kitchen": "cocina", "box": "caja", "bag": "bolsa", "backpack": "mochila",
    "suitcase": "maleta", "bottle": "botella", "spoon": "cuchara", "jar": "jarra", "television": "televisión",
    "screen": "pantalla", "camera": "cámara", "photo": "foto", "letter": "carta", "apple": "manzana",
    "banana": "banana", "pear": "pera", "grape": "uva", "strawberry": "fresa", "carrot": "zanahoria",
    "potato/potatoes": "patata", "onion": "cebolla", "salad": "ensalada", "soup": "sopa", "pizza": "pizza",
    "cookie": "galleta", "shirt": "camisa", "skirt": "falda", "jacket": "chaqueta", "tie": "corbata", "cap": "gorra",
    "boot": "bota", "hand": "mano", "head": "cabeza", "face": "cara", "nose": "nariz", "mouth": "boca",
    "ear": "oreja", "leg": "pierna", "guitar": "guitarra", "ball": "pelota", "wheel": "rueda", "flag": "bandera",
    "candle": "vela", "line": "línea", "shape": "forma", "spiral": "espiral", "shadow": "sombra", "kite": "cometa",
    "fountain": "fuente", "statue": "estatua", "ladder": "escalera", "blanket": "manta", "pillow": "almohada",
    "towel": "toalla", "broom": "escoba", "fence": "valla", "farm": "granja", "fruit": "fruta", "hose": "manguera",
    "pool": "piscina", "wave": "ola", "racket": "raqueta", "coin": "moneda", "crown": "corona", "doll": "muñeca",
    "bell": "campana", "feather": "pluma", "page": "página", "word": "palabra",
}  # fmt: skip

NOUNS: tuple[Kind, ...] = (*_nouns(_MASCULINE, "m"), *_nouns(_FEMININE, "f"))

ENGLISH_SYNONYMS: tuple[Kind, ...] = (
    *_nouns({"ship": "barco", "automobile": "coche", "airplane": "avión", "couch": "sofá"}, "m"),
    *_nouns({"mug": "taza", "bike": "bicicleta", "motorbike": "motocicleta"}, "f"),
)
"""Other English words for a Spanish one that is taken."""

SPANISH_SYNONYMS: tuple[Kind, ...] = (
    *_nouns({"mushroom": "hongo", "ring": "aro", "boat": "bote"}, "m"),
    *_nouns({"car": "auto", "fish/fish": "pescado", "sign": "cartel"}, "m"),
    *_nouns({"boat": "barca", "wall": "pared", "computer": "computadora", "potato/potatoes": "papa"}, "f"),
)
"""Other Spanish words for an English one that is taken."""

ADJECTIVES: tuple[Colour, ...] = (
    _adjective("big", "grande"),
    _adjective("small", "pequeño"),
    _adjective("old", "viejo"),
    _adjective("new", "nuevo"),
    _adjective("tall", "alto"),
    _adjective("short", "bajo"),
    _adjective("long", "largo"),
    _adjective("wide", "ancho"),
    _adjective("round", "redondo"),
    _adjective("empty", "vacío"),
    _adjective("full", "lleno"),
    _adjective("open", "abierto"),
    _adjective("closed", "cerrado"),
    _adjective("clean", "limpio"),
    _adjective("dirty", "sucio"),
    _adjective("broken", "roto"),
    _adjective("beautiful", "bonito"),
    _adjective("ugly", "feo"),
    _adjective("strange", "extraño"),
    _adjective("modern", "moderno"),
)
MORE_COLOURS: tuple[Colour, ...] = (
    Colour("pink", "rosa", "rosa", "rosas", "rosas"),
    Colour("brown", "marrón", "marrón", "marrones", "marrones"),
    _adjective("gray", "gris"),
    _adjective("golden", "dorado"),
    _adjective("silver", "plateado"),
)
SPANISH_COLOUR_SYNONYMS: tuple[Colour, ...] = (
    _adjective("purple", "violeta"),
    _adjective("purple", "púrpura"),
    _adjective("purple", "lila"),
)

DOINGS: tuple[Phrase, ...] = (
    Phrase("holding", "sosteniendo"),
    Phrase("carrying", "cargando"),
    Phrase("wearing", "llevando"),
    Phrase("looking at", "mirando"),
    Phrase("painting", "pintando"),
    Phrase("buying", "comprando"),
    Phrase("using", "usando"),
    Phrase("cleaning", "limpiando"),
    Phrase("touching", "tocando"),
    Phrase("eating", "comiendo"),
    Phrase("riding", "montando"),
    Phrase("playing with", "jugando con"),
)
"""What somebody does with something, behind a noun: "a man holding a cup"."""

POSTURES: tuple[Colour, ...] = (
    _adjective("sitting", "sentado"),
    _adjective("lying", "tumbado"),
    _adjective("parked", "aparcado"),
    Colour("standing", "de pie", "de pie", "de pie", "de pie"),
)
"""How something is there, behind a noun and before its place: "a cat sitting on a chair"."""

MORE_RELATIONS: tuple[Phrase, ...] = (
    Phrase("in front of", "delante de"),
    Phrase("behind", "detrás de"),
    Phrase("inside", "dentro de"),
    Phrase("near", "cerca de"),
    Phrase("on", "sobre"),
    Phrase("under", "bajo"),
    Phrase("next to", "al lado de"),
)

SIGNS: tuple[Phrase, ...] = (
    Phrase("OPEN", "ABIERTO"),
    Phrase("EXIT", "SALIDA"),
    Phrase("CAFE", "CAFÉ"),
    Phrase("SALE", "REBAJAS"),
    Phrase("HELLO", "HOLA"),
    Phrase("WORLD", "MUNDO"),
    Phrase("STOP", "ALTO"),
    Phrase("GO", "SIGA"),
    Phrase("TAXI", "TAXI"),
    Phrase("BUS", "AUTOBÚS"),
    Phrase("HOTEL", "HOTEL"),
    Phrase("BAR", "BAR"),
    Phrase("MENU", "MENÚ"),
    Phrase("PIZZA", "PIZZA"),
    Phrase("BREAD", "PAN"),
    Phrase("MILK", "LECHE"),
    Phrase("TEA", "TÉ"),
    Phrase("BOOKS", "LIBROS"),
    Phrase("SHOP", "TIENDA"),
    Phrase("PARK", "PARQUE"),
    Phrase("ZOO", "ZOO"),
    Phrase("BEACH", "PLAYA"),
    Phrase("SUN", "SOL"),
    Phrase("SEA", "MAR"),
    Phrase("SKY", "CIELO"),
    Phrase("LOVE", "AMOR"),
    Phrase("HOME", "HOGAR"),
    Phrase("TOWN", "PUEBLO"),
    Phrase("CITY", "CIUDAD"),
    Phrase("ROAD", "CARRETERA"),
    Phrase("NORTH", "NORTE"),
    Phrase("SOUTH", "SUR"),
    Phrase("EAST", "ESTE"),
    Phrase("WEST", "OESTE"),
    Phrase("PUSH", "EMPUJE"),
    Phrase("PULL", "TIRE"),
    Phrase("NEW", "NUEVO"),
    Phrase("FREE", "GRATIS"),
    Phrase("WELCOME", "BIENVENIDO"),
    Phrase("MUSIC", "MÚSICA"),
    Phrase("CLOSED", "CERRADO"),
    Phrase("ENTRANCE", "ENTRADA"),
    Phrase("DANGER", "PELIGRO"),
    Phrase("WATER", "AGUA"),
    Phrase("HOURS", "HORAS"),
    Phrase("TODAY", "HOY"),
)
"""What signs say, one word at a time: a phrase of two is two of them."""

SENTENCES: tuple[Phrase, ...] = (
    Phrase("Hello!", "¡Hola!"),
    Phrase("hello", "hola"),
    Phrase("thanks", "gracias"),
    Phrase("sorry", "perdón"),
    Phrase("good", "bueno"),
    Phrase("bad", "malo"),
    Phrase("today", "hoy"),
    Phrase("the image", "la imagen"),
    Phrase("the people", "la gente"),
    Phrase("the food", "la comida"),
    Phrase("the weather", "el tiempo"),
    Phrase("Good morning.", "Buenos días."),
    Phrase("Good night.", "Buenas noches."),
    Phrase("Thank you.", "Gracias."),
    Phrase("Please.", "Por favor."),
    Phrase("I do not know.", "No lo sé."),
    Phrase("unanswerable", "sin respuesta"),
    Phrase("many", "muchos"),
    Phrase("none", "ninguno"),
    Phrase("maybe", "quizás"),
    Phrase("day", "día"),
    Phrase("night", "noche"),
    Phrase("left", "izquierda"),
    Phrase("right", "derecha"),
    Phrase("outside", "fuera"),
    Phrase("Is it day or night?", "¿Es de día o de noche?"),
    Phrase("What time is it?", "¿Qué hora es?"),
    Phrase("What is the weather like?", "¿Qué tiempo hace?"),
    Phrase("Is it raining?", "¿Está lloviendo?"),
    Phrase("Who is in the picture?", "¿Quién está en la imagen?"),
    Phrase("How many people are there?", "¿Cuántas personas hay?"),
    Phrase("What is the person doing?", "¿Qué está haciendo la persona?"),
    Phrase("What is the man doing?", "¿Qué está haciendo el hombre?"),
    Phrase("What is the woman doing?", "¿Qué está haciendo la mujer?"),
    Phrase("Where was this picture taken?", "¿Dónde se tomó esta foto?"),
    Phrase("What animal is this?", "¿Qué animal es este?"),
    Phrase("What is the name of this?", "¿Cómo se llama esto?"),
    Phrase("What shape is it?", "¿Qué forma tiene?"),
    Phrase("What is the text about?", "¿De qué trata el texto?"),
    Phrase("What is written on the sign?", "¿Qué está escrito en el letrero?"),
    Phrase("What does the sign say?", "¿Qué pone en el letrero?"),
    Phrase("What brand is it?", "¿De qué marca es?"),
    Phrase("Why is this funny?", "¿Por qué es gracioso?"),
    Phrase("Can you read the text?", "¿Puedes leer el texto?"),
    Phrase("Is this person smiling?", "¿Está sonriendo esta persona?"),
    Phrase("How old is the person?", "¿Cuántos años tiene la persona?"),
    Phrase("How much does it cost?", "¿Cuánto cuesta?"),
    Phrase("What is the total?", "¿Cuál es el total?"),
    Phrase("What is the date?", "¿Cuál es la fecha?"),
    Phrase("What is happening in the picture?", "¿Qué está pasando en la imagen?"),
    Phrase("Is this a photo or a drawing?", "¿Es una foto o un dibujo?"),
    Phrase("What is in the background?", "¿Qué hay en el fondo?"),
    Phrase("What color is the background?", "¿De qué color es el fondo?"),
    Phrase("The background is white.", "El fondo es blanco."),
    Phrase("There is nothing in the picture.", "No hay nada en la imagen."),
    Phrase("There is no text in the picture.", "No hay texto en la imagen."),
    Phrase("There is no text.", "No hay texto."),
    Phrase("I see nothing.", "No veo nada."),
    Phrase("The picture is blurred.", "La imagen está borrosa."),
    Phrase("Sorry, I cannot answer this question.", "Lo siento, no puedo responder a esta pregunta."),
    Phrase("The sun is shining.", "El sol brilla."),
    Phrase("It is raining.", "Está lloviendo."),
    Phrase("It is night.", "Es de noche."),
    Phrase("It is a sunny day.", "Es un día soleado."),
    Phrase("a close up of a hand", "un primer plano de una mano"),
    Phrase("a group of people", "un grupo de personas"),
    Phrase("a view of the sea", "una vista del mar"),
    Phrase("a glass of water", "un vaso de agua"),
    Phrase("a cup of coffee", "una taza de café"),
    Phrase("a pair of glasses", "un par de gafas"),
)
